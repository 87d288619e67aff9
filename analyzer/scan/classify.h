// From a pointer graph to one class and one holder per block: what can still be reached, and how; what is
// lost, and with whom. Pure computation; definitions in docs/leaks.md.
#pragma once

#include <cstdint>
#include <vector>

#include "scan/pointer_graph.h"

namespace hl {

struct Classification {
  std::vector<LeakClass> classes; // by block
  // As in LeakScanPayload: 0 none, 2 r + 1 root r, 2 b + 2 block b.
  std::vector<uint64_t> holders;
  std::vector<PointerGraph::RootEdge> roots; // that hold something
};

Classification classify(const PointerGraph& graph);

} // namespace hl
