// The text of /proc/PID/maps, parsed: what is mapped where in a process. Lines that cannot be are left out.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace hl {

struct MapsEntry {
  uint64_t start = 0, end = 0;
  bool readable = false, writable = false, executable = false, shared = false;
  uint64_t offset = 0;
  uint64_t inode = 0; // 0: no file
  std::string path;   // "" anonymous; [stack] and the like; " (deleted)" as the kernel wrote it

  bool holds(uint64_t address) const { return address - start < end - start; }
  bool is_file() const { return inode != 0 && !path.empty() && path[0] == '/'; }
};

// Sorted by address, as the kernel writes it.
std::vector<MapsEntry> parse_maps(std::string_view text);

// nullptr: nothing is mapped there.
const MapsEntry* entry_at(std::span<const MapsEntry> maps, uint64_t address);

// What is mapped in [start, end), from its first entry on.
std::span<const MapsEntry> entries_in(std::span<const MapsEntry> maps, uint64_t start, uint64_t end);

// The part of a path behind its last slash, without the kernel's " (deleted)".
std::string_view file_name_of(std::string_view path);

} // namespace hl
