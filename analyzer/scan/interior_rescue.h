// Pointers into the middle of a block that are as good as pointers to its start, because C++ makes them so:
// the characters of an old-style std::string, memory behind a length word, the elements of a new[] array with
// its count in front, a base class other than the first. Valgrind's four heuristics
// (--leak-check-heuristics=all; memcheck/mc_leakcheck.c describes them).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "scan/pointer_graph.h"

namespace hl {

// A pointer into a block, and where its edge is kept.
struct InteriorPointer {
  uint64_t value;
  uint32_t block; // it leads to
  uint64_t edge;  // index for the caller
};

// Those of `pointers` (any order; reordered) that count as pointers to the start: their edges.
std::vector<uint64_t> rescued_edges(std::vector<InteriorPointer>& pointers,
                                    const std::vector<ScanBlock>& blocks, std::span<const FileRange> files,
                                    MemoryReader& memory);

} // namespace hl
