// See block_index.h.
#include "scan/block_index.h"

namespace hl {

BlockIndex::BlockIndex(const std::vector<ScanBlock>& blocks) : blocks_(blocks) {
  if (blocks.empty())
    return;
  lowest_ = blocks.front().address;
  span_bytes_ = blocks.back().address + std::max<uint64_t>(blocks.back().bytes, 1) - lowest_;
  for (uint32_t i = 0; i < blocks.size(); ++i) {
    const uint64_t start = blocks[i].address, end = start + std::max<uint64_t>(blocks[i].bytes, 1);
    const uint64_t first = start >> kPageShift, last = (end - 1) >> kPageShift;
    if (stretches_.empty() || first > stretches_.back().end_page + kMaxGapPages)
      stretches_.push_back({first, first, pages_.size(), kNone});
    cover(first, i);
    Page& page = pages_.back();
    const unsigned granule = (start >> kGranuleShift) % kGranules;
    page.irregular |= start % kGranule != 0 ? 1 : 0;
    page.starts[granule / 64] |= uint64_t{1} << (granule % 64);
    if (last - first > kSolidPages) {
      stretches_.push_back({first + 1, last, 0, i});
      stretches_.push_back({last, last, pages_.size(), kNone});
    }
    cover(last, i + 1);
  }
}

// Entries of the last stretch up to `page`; those that are new have so many blocks before them.
void BlockIndex::cover(uint64_t page, uint32_t blocks_before) {
  Stretch& stretch = stretches_.back();
  for (; stretch.end_page <= page; ++stretch.end_page) {
    pages_.push_back({});
    pages_.back().first = blocks_before;
  }
}

BlockIndex::Hit BlockIndex::find_by_halving(const Page& page, uint64_t address) const {
  // The last block that starts at or before the address: one of the page's, or the one before them.
  const uint64_t page_end = (address | ((uint64_t{1} << kPageShift) - 1)) + 1;
  uint32_t low = page.first, high = low; // blocks [low, high) start in the page
  while (high < blocks_.size() && blocks_[high].address < page_end)
    ++high;
  while (low < high) {
    const uint32_t middle = low + (high - low) / 2;
    if (blocks_[middle].address <= address)
      low = middle + 1;
    else
      high = middle;
  }
  return low == 0 ? Hit{kNone, false} : inside(low - 1, address);
}

} // namespace hl
