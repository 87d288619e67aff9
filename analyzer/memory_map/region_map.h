// The address space of a process as a person would draw it: regions from low to high addresses, each with
// what it is, how that is known, who made it and how much of it is resident.
//
// A region lies within one mapping (VMA) of the kernel's, but one mapping may hold several regions: the
// kernel merges neighbours that different sites mapped, .bss follows .data, the recording's own tables lie
// beside the program's. Every byte of every mapping is in exactly one region, and the `rss` of the regions of
// a mapping add up to that mapping's Rss.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "memory_map/smaps.h"
#include "reader/memory_samples.h"
#include "replay/heap_blocks.h"

namespace hl {

enum class RegionKind : uint8_t {
  code,           // executable, of a file
  read_only_data, // of a file mapped as code: not writable
  data,           // writable, of a file mapped as code; and what the loader made read-only after relocation
  bss,
  heap_brk,    // [heap]
  heap_arena,  // glibc's further arenas
  heap_mapped, // one block of malloc's that has a mapping of its own
  heap_other,  // of another allocator, or of malloc's in a way not known
  managed,     // the heap of a managed runtime: `name` says whose ("dart-heap", "v8")
  anonymous,   // mapped by the program itself
  file,        // a file mapped as data
  shared,      // shared memory: shmem, memfd, /dev/shm, shared anonymous
  device,      // of a driver: GPU buffers and the like
  main_stack,
  thread_stack,
  kernel,  // vdso, vvar
  own,     // of the recording
  unknown, // mostly anonymous, and nothing tells who mapped it
};
std::string_view to_string(RegionKind kind); // "code", "heap_brk" ...

enum class RegionEvidence : uint8_t {
  kernel_name, // the name in smaps
  given_name,  // prctl(PR_SET_VMA_ANON_NAME), as recorded
  call,        // the recorded mmap
  module,      // the recorded extent of a module
  blocks,      // live blocks lie in it
  thread,      // a recorded thread's
  shape,       // size, alignment, neighbourhood
  session,     // the recording knows its own memory
  none,
};
std::string_view to_string(RegionEvidence evidence);

struct Region {
  uint64_t start = 0, end = 0;
  RegionKind kind = RegionKind::unknown;
  RegionEvidence evidence = RegionEvidence::none;
  std::string name;  // file, given name, "thread 4711 (worker)"; may be empty
  uint32_t vma = 0;  // index into RegionMap::vmas
  uint32_t site = 0; // of the mmap that made it: index into ReplayResult::sites; 0: unknown
  uint32_t tid = 0;  // stacks
  uint64_t rss = 0;  // exact
  // Where a mapping holds several regions: shared out by their resident pages, adding up to the mapping's.
  uint64_t pss = 0, private_clean = 0, private_dirty = 0, shared_clean = 0, shared_dirty = 0, swap = 0,
           swap_pss = 0;
  uint64_t bytes() const { return end - start; }
  bool is_allocator() const {
    return kind == RegionKind::heap_brk || kind == RegionKind::heap_arena ||
           kind == RegionKind::heap_mapped || kind == RegionKind::heap_other;
  }
};

struct RegionMap {
  std::vector<Vma> vmas;             // by address
  std::vector<Region> regions;       // by address
  std::vector<std::string> problems; // of the smaps text, see Smaps
};

// What is known beside the sample; each may be missing.
struct RegionSources {
  const Replay* replay = nullptr;    // that stands at the sample's moment: mappings, threads, marks
  std::span<const HeapBlock> blocks; // of the same
  const TraceMetadata* metadata = nullptr;
  const ModuleTable* modules = nullptr;
  const NodeTable* nodes = nullptr; // of the replay's stacks: which module called mmap
};
// All that the trace knows; `replay` stands at the sample's moment, `blocks` are its live ones.
RegionSources region_sources(const Trace& trace, const Replay& replay, std::span<const HeapBlock> blocks);

// `sample.smaps`, `own`, `pages`, `flags` and `ticks` are used; without pages the shares of regions within
// one mapping are estimated by size. How it decides: docs/memory-map.md.
RegionMap make_region_map(const ResidencySample& sample, const RegionSources& sources);

} // namespace hl
