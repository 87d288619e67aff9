// See block_index.h.
#include "scan/block_index.h"

namespace hl {

BlockIndex::BlockIndex(const std::vector<ScanBlock>& blocks) : blocks_(blocks) {
  if (blocks.empty())
    return;
  const auto last_page_of = [](const ScanBlock& b) {
    return (b.address + std::max<uint64_t>(b.bytes, 1) - 1) >> kPageShift;
  };
  lowest_ = blocks.front().address;
  span_bytes_ = ((last_page_of(blocks.back()) + 1) << kPageShift) - lowest_;
  for (size_t i = 0; i < blocks.size();) {
    const uint64_t first = blocks[i].address >> kPageShift;
    uint64_t last = last_page_of(blocks[i]);
    size_t end = i + 1;
    for (; end < blocks.size() && blocks[end].address >> kPageShift <= last + kMaxGapPages; ++end)
      last = std::max(last, last_page_of(blocks[end]));
    stretches_.push_back({first, last + 1, pages_.size()});
    for (uint64_t number = first; number <= last; ++number) {
      Page page{};
      page.first = static_cast<uint32_t>(i);
      for (; i < end && blocks[i].address >> kPageShift == number; ++i) {
        const unsigned granule = (blocks[i].address >> kGranuleShift) % kGranules;
        page.irregular |= blocks[i].address % kGranule != 0 ? 1 : 0;
        page.starts[granule / 64] |= uint64_t{1} << (granule % 64);
      }
      pages_.push_back(page);
    }
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
