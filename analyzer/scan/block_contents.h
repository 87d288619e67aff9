// The first bytes of a few blocks, for people who recognise data sooner than stacks. Only where the user
// asked for it when recording: a trace then holds pieces of the program's data.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "scan/classify.h"

namespace hl {

struct BlockContents {
  static constexpr size_t kMostBytes = 64;
  uint64_t block; // index into PointerGraph::blocks
  std::vector<uint8_t> bytes;
};

// Of the oldest block of each class and site: what a leak report shows as its example. By block. What cannot
// be read is left out; so are examples beyond a bound, those that are still reachable first.
std::vector<BlockContents> example_contents(const PointerGraph& graph, const Classification& found,
                                            const std::function<uint32_t(uint64_t address)>& site_of,
                                            MemoryReader& memory);

} // namespace hl
