// Who points to whom among the live blocks: found in one pass over roots and blocks while the process stands
// still, so that all thinking can be done after it runs again.
//
// Blocks are numbered by address. Edges of a block are stored together in one array; an edge that leads into
// the middle of its target (and that no rescue turned into a start pointer) carries kInterior. A block's
// pointers to itself and repeated targets in a row are left out.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "scan/memory_image.h"

namespace hl {

struct ScanBlock {
  uint64_t address;
  uint64_t bytes;       // requested
  uint64_t birth_ticks; // of the call that returned it
  bool is_root;         // allocated by the loader: reachable by itself
};

struct PointerGraph {
  static constexpr uint32_t kInterior = 1u << 31;
  static constexpr uint32_t kTarget = kInterior - 1;

  std::vector<ScanBlock> blocks;     // sorted by address, disjoint
  std::vector<uint64_t> edge_starts; // blocks.size() + 1 positions in `edges`
  std::vector<uint32_t> edges;       // target | kInterior
  // From outside the heap; of each target only the first root that points to it so.
  struct RootEdge {
    uint32_t target; // | kInterior
    RootKind kind;
    uint32_t tid;
    uint64_t address; // of the word that points; registers: number
  };
  std::vector<RootEdge> root_edges;
  uint64_t root_bytes = 0; // looked at outside blocks
  uint64_t unreadable_bytes = 0;

  std::span<const uint32_t> edges_of(uint32_t block) const {
    return std::span(edges).subspan(edge_starts[block], edge_starts[block + 1] - edge_starts[block]);
  }
};

// `blocks` need not be sorted; of overlapping ones the later is cut out. `files`: what of the process's
// memory is mapped from files, sorted; for telling virtual tables. `options`: ScanOptions (unaligned,
// heuristics; which roots there are is the caller's choice). Words of a RootKind::mapping range that lie in a
// live block are the block's, not the range's. Throws std::bad_alloc.
PointerGraph build_pointer_graph(std::vector<ScanBlock> blocks, std::span<const RootRange> roots,
                                 std::span<const FileRange> files, MemoryReader& memory, uint32_t options);

} // namespace hl
