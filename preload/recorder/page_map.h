// Which pages of a process are there: runs of pages by address, each in one state (PageState), from the
// PAGEMAP_SCAN call (Linux 6.7 and later) or from /proc/PID/pagemap.
//
// What must hold: in a process that stands still, the resident pages of a mapping's runs sum to the Rss that
// smaps gives it. So zero pages, pages of devices and huge pages of hugetlbfs, which are present and no Rss,
// are left out. The older file shows zero pages like pages that are shared with a fork's other side; where a
// mapping's Rss decides between the two it is asked, else they are kept and `zero_pages_known` is false.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "heapledger/trace_format.h"
#include "memory_text.h"

namespace hl {

// Collects runs in the order of their addresses and writes them as ResidencyPayload has them.
class PageRuns {
 public:
  // `page`: number of the first. Runs that touch and have one state become one.
  void add(uint64_t page, uint64_t pages, PageState state);
  // No more is added.
  const std::vector<uint8_t>& finish();
  uint64_t count() const { return count_; }

 private:
  void put();

  std::vector<uint8_t> bytes_;
  uint64_t count_ = 0, written_end_ = 0;
  uint64_t page_ = 0, pages_ = 0;
  PageState state_ = PageState::swapped;
};

struct PageMapAnswer {
  bool readable = true; // false: nothing is known of any page
  bool zero_pages_known = true;
};

// `descriptor`: of an open /proc/PID/pagemap. `ranges`: of parse_smaps(). `may_scan` false: as if the kernel
// did not know PAGEMAP_SCAN.
PageMapAnswer read_page_runs(int descriptor, std::span<const MappedRange> ranges, uint64_t page_bytes,
                             PageRuns& out, bool may_scan = true);

} // namespace hl
