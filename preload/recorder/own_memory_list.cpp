// See own_memory_list.h.
#include "own_memory_list.h"

#include <algorithm>

namespace hl {

std::vector<OwnRange> own_memory(const SessionProcess& slot, uint32_t generation) {
  std::vector<OwnRange> ranges;
  for (const auto& entry : slot.own_memory) {
    // Relaxed: an entry is complete in itself.
    const uint64_t word = entry.load(std::memory_order_relaxed);
    if (word == 0)
      continue;
    const uint64_t start = own_memory_start(word), bytes = own_memory_bytes(word);
    if (bytes != 0 && start < (uint64_t{1} << 57) - bytes)
      ranges.emplace_back(start, start + bytes);
  }
  if (slot.generation != generation)
    return {};
  std::sort(ranges.begin(), ranges.end());
  std::vector<OwnRange> merged;
  for (const OwnRange& range : ranges) {
    if (!merged.empty() && range.first <= merged.back().second)
      merged.back().second = std::max(merged.back().second, range.second);
    else
      merged.push_back(range);
  }
  return merged;
}

} // namespace hl
