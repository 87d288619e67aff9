// Finds the block an address lies in. Asked for every word of the heap while the process stands still, so: one
// comparison for most words that are no pointers, then a directory of 4 KiB pages, then the few blocks there.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "scan/pointer_graph.h"

namespace hl {

class BlockIndex {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;

  // `blocks`: sorted by address, disjoint; they must outlive the index.
  explicit BlockIndex(const std::vector<ScanBlock>& blocks);

  // The block whose [address, address + max(bytes, 1)) holds `address`; kNone: no block does.
  uint32_t find(uint64_t address) const {
    if (address - lowest_ >= span_bytes_)
      return kNone;
    const Stretch* const s = stretch_of(address);
    if (s == nullptr)
      return kNone;
    const uint32_t* const entry = &first_of_page_[s->first_page + ((address >> kPageShift) - s->page)];
    // The last block that starts at or before the address is among those from the page's first on.
    const uint64_t* const from = starts_.data() + entry[0];
    const uint64_t* const to = starts_.data() + std::min<size_t>(size_t{entry[1]} + 1, starts_.size());
    const uint64_t* const after = std::upper_bound(from, to, address);
    if (after == starts_.data())
      return kNone;
    const uint32_t block = static_cast<uint32_t>(after - starts_.data()) - 1;
    return address - starts_[block] < std::max<uint64_t>(blocks_[block].bytes, 1) ? block : kNone;
  }

 private:
  static constexpr unsigned kPageShift = 12;
  // Pages without a gap of more than kMaxGapPages; their entries follow each other in first_of_page_.
  struct Stretch {
    uint64_t page, end_page;
    size_t first_page;
  };
  static constexpr uint64_t kMaxGapPages = 256;

  const Stretch* stretch_of(uint64_t address) const {
    const uint64_t page = address >> kPageShift;
    const auto after = std::upper_bound(stretches_.begin(), stretches_.end(), page,
                                        [](uint64_t p, const Stretch& s) { return p < s.page; });
    if (after == stretches_.begin() || page >= (after - 1)->end_page)
      return nullptr;
    return &*(after - 1);
  }

  const std::vector<ScanBlock>& blocks_;
  std::vector<uint64_t> starts_;
  std::vector<Stretch> stretches_;
  // By page: the last block that starts at or before the page's first byte, or the first of all; one more entry
  // ends each stretch.
  std::vector<uint32_t> first_of_page_;
  uint64_t lowest_ = 0, span_bytes_ = 0;
};

} // namespace hl
