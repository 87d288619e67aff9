// See heap_blocks.h.
#include "replay/heap_blocks.h"

#include <algorithm>

namespace hl {

std::vector<HeapBlock> blocks_by_address(const Replay& replay) {
  std::vector<HeapBlock> blocks;
  blocks.reserve(replay.live().size());
  replay.live().for_each([&](const LiveBlock& block) {
    blocks.push_back(
        {block.address, block.size, replay.usable_bytes(block), block.birth_ticks, block.site, block.thread});
  });
  std::sort(blocks.begin(), blocks.end(),
            [](const HeapBlock& a, const HeapBlock& b) { return a.address < b.address; });
  return blocks;
}

} // namespace hl
