// The live blocks of a replay in the order of their addresses, for analyses that look at places in memory.
#pragma once

#include <cstdint>
#include <vector>

#include "replay/replay.h"

namespace hl {

struct HeapBlock {
  uint64_t address;
  uint64_t size;   // requested
  uint64_t usable; // malloc_usable_size; at least `size`
  uint64_t birth_ticks;
  uint32_t site; // index into ReplayResult::sites
  uint32_t thread;
  uint64_t end() const { return address + usable; }
};

// As of the last event that was replayed. Overlaps (damage, missed frees) are kept as they are.
std::vector<HeapBlock> blocks_by_address(const Replay& replay);

} // namespace hl
