// The text of /proc/PID/smaps: the kernel's own account of every mapping. Reads Linux's and Android's, of any
// version, also pasted from an adb shell (CR LF, blank lines).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hl {

// Bytes; none greater than the mapping.
struct VmaNumbers {
  uint64_t rss = 0, pss = 0, pss_dirty = 0;
  uint64_t shared_clean = 0, shared_dirty = 0, private_clean = 0, private_dirty = 0;
  uint64_t referenced = 0, anonymous = 0, lazy_free = 0, anon_huge_pages = 0;
  uint64_t swap = 0, swap_pss = 0, locked = 0;
  uint64_t hugetlb = 0; // pages of hugetlbfs, which are no part of rss
  void add(const VmaNumbers& other);
};

struct Vma {
  uint64_t start = 0, end = 0;
  bool readable = false, writable = false, executable = false, shared = false;
  uint64_t offset = 0, inode = 0;
  std::string name; // as the kernel gives it, without the "(deleted)" that may follow
  bool deleted = false;
  VmaNumbers numbers;
  uint64_t bytes() const { return end - start; }
};

struct Smaps {
  std::vector<Vma> vmas;             // by address
  std::vector<std::string> problems; // lines that make no sense, the first ones; never fatal
  uint64_t bad_lines = 0;
};
// Any text is read as far as it makes sense; /proc/PID/maps gives mappings without numbers.
Smaps parse_smaps(std::string_view text);

} // namespace hl
