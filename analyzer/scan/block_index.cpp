// See block_index.h.
#include "scan/block_index.h"

namespace hl {

BlockIndex::BlockIndex(const std::vector<ScanBlock>& blocks) : blocks_(blocks) {
  if (blocks.empty())
    return;
  starts_.reserve(blocks.size());
  for (const ScanBlock& b : blocks)
    starts_.push_back(b.address);
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
    stretches_.push_back({first, last + 1, first_of_page_.size()});
    size_t at = i; // the last block that starts at or before the page
    for (uint64_t page = first; page <= last + 1; ++page) {
      while (at + 1 < end && blocks[at + 1].address <= page << kPageShift)
        ++at;
      first_of_page_.push_back(static_cast<uint32_t>(at));
    }
    i = end;
  }
}

} // namespace hl
