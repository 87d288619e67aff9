// What is known of how an allocator lays out its memory: which bytes around a block are its own, and which
// pages a live block keeps from being given back. Taken from the allocators' published sources
// (docs/fragmentation.md names files and versions); nothing here looks at the memory itself.
#pragma once

#include <cstdint>
#include <string_view>

#include "fragmentation/allocator_runs.h"
#include "memory_map/region_map.h"
#include "reader/trace_metadata.h"
#include "replay/heap_blocks.h"

namespace hl {

enum class AllocatorKind : uint8_t { unknown, glibc, jemalloc, tcmalloc, mimalloc };
std::string_view to_string(AllocatorKind kind); // "glibc" ...
// Whose blocks a trace recorded.
AllocatorKind allocator_of(const TraceMetadata& metadata);

// How far an account of pages can be trusted; from best to worst.
enum class Confidence : uint8_t {
  exact,          // layout known byte by byte, residency of the same moment
  good,           // layout known up to what is said in docs/fragmentation.md
  residency_only, // allocator not known: blocks and resident pages alone
  assumed,        // no residency: pages of blocks are taken for touched
};
std::string_view to_string(Confidence confidence); // "exact", "good", "residency only", "touched (assumed)"

// Bytes that belong to one live block: [header, address) and [end, tail) are the allocator's.
struct BlockExtent {
  uint64_t header, end, tail; // end: of the usable bytes
};

struct AllocatorLayout {
  AllocatorKind kind = AllocatorKind::unknown;
  uint32_t page_bytes = 4096;

  BlockExtent extent(const HeapBlock& block) const;

  // The memory that can only be given back as a whole, of which the block is a part. glibc has none, there
  // every page stands for itself.
  RunPlaces run_places(const HeapBlock& block) const;

  // visit(start, end) of the allocator's own tables at fixed places of a region, by address: arena headers,
  // the main thread's cache, segment headers. `used(start, end)`: does a live block overlap these bytes?
  template <typename Used, typename Visit>
  void fixed_tables(const Region& region, const Used& used, const Visit& visit) const;
};

// ------------------------------------------------------------------------------------------------------------

// glibc 2.35 and later on 64-bit (malloc/arena.c, malloc.c); before, heap_info is 16 bytes shorter.
namespace glibc_layout {
inline constexpr uint64_t kHeaderBytes = 8; // size field; the word before it belongs to the block before
inline constexpr uint64_t kMappedHeaderBytes = 16;  // of a chunk with a mapping of its own
inline constexpr uint64_t kHeapBytes = 64ull << 20; // HEAP_MAX_SIZE: alignment of heaps of further arenas
inline constexpr uint64_t kHeapInfoBytes = 48;      // heap_info: at the start of each of those
inline constexpr uint64_t kArenaBytes = 2208; // malloc_state (2200) and alignment: in an arena's first heap
inline constexpr uint64_t kThreadCacheBytes = 0x290; // chunk of tcache_perthread_struct: first of its arena
inline constexpr uint64_t kChunkStructBytes = 48;    // sizeof(struct malloc_chunk): what mtrim() keeps
inline constexpr uint64_t kLeastChunk = 32;          // MINSIZE
} // namespace glibc_layout

template <typename Used, typename Visit>
void AllocatorLayout::fixed_tables(const Region& region, const Used& used, const Visit& visit) const {
  using namespace glibc_layout;
  const auto note = [&](uint64_t start, uint64_t end) {
    if (end <= region.end && !used(start, end))
      visit(start, end);
  };
  if (kind == AllocatorKind::glibc && region.kind == RegionKind::heap_brk) {
    note(region.start, region.start + kThreadCacheBytes);
  } else if (kind == AllocatorKind::glibc && region.kind == RegionKind::heap_arena) {
    for (uint64_t heap = (region.start + kHeapBytes - 1) & ~(kHeapBytes - 1);
         heap + kHeapInfoBytes <= region.end; heap += kHeapBytes) {
      const uint64_t arena = heap + kHeapInfoBytes + kArenaBytes;
      const bool first = arena + kThreadCacheBytes <= region.end && !used(heap, arena);
      note(heap, first ? arena : heap + kHeapInfoBytes);
      if (first)
        note(arena, arena + kThreadCacheBytes);
    }
  } else if (kind == AllocatorKind::mimalloc) {
    for (uint64_t segment = (region.start + kMimallocSegmentBytes - 1) & ~(kMimallocSegmentBytes - 1);
         segment + kMimallocSliceBytes <= region.end; segment += kMimallocSegmentBytes)
      note(segment, segment + kMimallocSliceBytes);
  }
}

} // namespace hl
