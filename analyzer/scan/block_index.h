// Finds the block an address lies in. Asked for every word of the heap while the process stands still, so:
// one comparison for most words that are no pointers, then one entry of a directory of 4 KiB pages, which
// says with a bit for each 16 bytes where blocks start (10 MB for a heap of 1 GiB: it stays in cache where
// the blocks do not). Blocks themselves are looked at only for addresses in the middle of one.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

#include "scan/pointer_graph.h"

namespace hl {

class BlockIndex {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;
  struct Hit {
    uint32_t block; // kNone: the address lies in no block
    bool start;     // it is the block's first byte
  };

  // `blocks`: sorted by address, disjoint; they must outlive the index.
  explicit BlockIndex(const std::vector<ScanBlock>& blocks);

  // May the address lie in a block? One comparison.
  bool in_range(uint64_t address) const { return address - lowest_ < span_bytes_; }
  // For an address in range, ahead of find().
  void prefetch(uint64_t address) const {
    if (const Stretch* const s = stretch_of(address); s != nullptr && s->solid == kNone) {
      const Page* const page = page_in(*s, address);
      __builtin_prefetch(page);
      __builtin_prefetch(reinterpret_cast<const char*>(page + 1) - 1);
    }
  }

  // The block whose [address, address + max(bytes, 1)) holds `address`.
  Hit find(uint64_t address) const {
    const Stretch* const stretch = in_range(address) ? stretch_of(address) : nullptr;
    if (stretch == nullptr)
      return {kNone, false};
    if (stretch->solid != kNone)
      return inside(stretch->solid, address);
    const Page* const page = page_in(*stretch, address);
    if (page->irregular)
      return find_by_halving(*page, address);
    const unsigned granule = (address >> kGranuleShift) % kGranules, word = granule / 64;
    uint32_t before = page->first;
    for (unsigned i = 0; i < word; ++i)
      before += static_cast<uint32_t>(std::popcount(page->starts[i]));
    const uint64_t up_to_here = page->starts[word] & (~uint64_t{0} >> (63 - granule % 64));
    before += static_cast<uint32_t>(std::popcount(up_to_here));
    if ((up_to_here >> (granule % 64)) != 0 && (address & (kGranule - 1)) == 0)
      return {before - 1, true};
    return before == 0 ? Hit{kNone, false} : inside(before - 1, address);
  }

 private:
  static constexpr unsigned kPageShift = 12, kGranuleShift = 4;
  static constexpr uint64_t kGranule = 1u << kGranuleShift;
  static constexpr unsigned kGranules = 1u << (kPageShift - kGranuleShift);
  struct Page {
    uint64_t starts[kGranules / 64]; // bit per 16 bytes: a block starts there
    uint32_t first;                  // blocks that start before the page
    uint32_t irregular; // a block starts elsewhere than at a multiple of 16: the bits say nothing
  };
  // Pages without a gap of more than kMaxGapPages; their entries follow each other in pages_. Or the pages in
  // the middle of one large block (`solid`), which need no entries: blocks may be larger than memory.
  struct Stretch {
    uint64_t page, end_page;
    size_t first_page;
    uint32_t solid;
  };
  static constexpr uint64_t kMaxGapPages = 256, kSolidPages = 64;

  const Stretch* stretch_of(uint64_t address) const {
    const uint64_t page = address >> kPageShift;
    const auto after = std::upper_bound(stretches_.begin(), stretches_.end(), page,
                                        [](uint64_t p, const Stretch& s) { return p < s.page; });
    return after == stretches_.begin() || page >= (after - 1)->end_page ? nullptr : &*(after - 1);
  }
  const Page* page_in(const Stretch& stretch, uint64_t address) const {
    return &pages_[stretch.first_page + ((address >> kPageShift) - stretch.page)];
  }
  void cover(uint64_t page, uint32_t blocks_before);
  Hit inside(uint32_t block, uint64_t address) const {
    const uint64_t offset = address - blocks_[block].address;
    if (offset >= std::max<uint64_t>(blocks_[block].bytes, 1))
      return {kNone, false};
    return {block, offset == 0};
  }
  Hit find_by_halving(const Page& page, uint64_t address) const;

  const std::vector<ScanBlock>& blocks_;
  std::vector<Stretch> stretches_;
  std::vector<Page> pages_;
  uint64_t lowest_ = 0, span_bytes_ = 0;
};

} // namespace hl
