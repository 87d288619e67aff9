// Reading memory by runs of pages that a process has and runs that it does not have: what readers of a
// process and of a copy share. Pages it does not have read as zeros and are not touched.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "scan/memory_image.h"

namespace hl {

inline constexpr uint64_t kScanPageBytes = 4096;

// A part of /proc/PID/pagemap, moved along with the questions.
class PagemapWindow {
 public:
  explicit PagemapWindow(size_t pages) : entries_(pages) {}

  // `load`: (first page, span of entries) -> how many could be had; of the others reading tells.
  template <typename Load> bool has_page(uint64_t page, Load load) {
    constexpr uint64_t kSwappedOrPresent = uint64_t{3} << 62; // bits of an entry
    if (page - first_page_ >= entries_.size()) {
      first_page_ = page;
      const size_t known = load(page, std::span(entries_));
      std::fill(entries_.begin() + static_cast<ptrdiff_t>(known), entries_.end(), kSwappedOrPresent);
    }
    return (entries_[page - first_page_] & kSwappedOrPresent) != 0;
  }

 private:
  uint64_t first_page_ = ~uint64_t{0};
  std::vector<uint64_t> entries_;
};

struct PageRun {
  uint64_t end; // of the run; may lie beyond what was asked about
  bool there;
};

// `next_run`: (address, end) -> the run that begins there. `fetch`: (address, to, bytes) -> bytes that could
// be read.
template <typename NextRun, typename Fetch>
void read_by_runs(std::span<MemoryReader::Piece> pieces, NextRun next_run, Fetch fetch) {
  for (MemoryReader::Piece& piece : pieces) {
    const uint64_t end = piece.address + piece.to.size();
    uint64_t at = piece.address;
    while (at < end) {
      const PageRun run = next_run(at, end);
      const uint64_t run_end = std::min(end, run.end);
      uint8_t* const to = piece.to.data() + (at - piece.address);
      if (!run.there) {
        std::memset(to, 0, run_end - at);
        at = run_end;
        continue;
      }
      at += fetch(at, to, run_end - at);
      if (at < run_end)
        break;
    }
    piece.read_bytes = at - piece.address;
  }
}

} // namespace hl
