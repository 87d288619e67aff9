// What a replay found out: plain numbers. Bytes are requested bytes; times are ticks of the trace's clock.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "heapledger/event.h"
#include "replay/mapping_tracker.h"

namespace hl {

// Hot part of a site: one cache line. A site is a whole stack.
struct alignas(64) SiteTotals {
  uint64_t live_bytes = 0;
  uint64_t peak_bytes = 0; // live at the process's peak (see Replay::settle_peak)
  uint64_t allocation_calls = 0;
  uint64_t bytes_requested = 0;
  uint64_t temporary = 0;    // allocations freed by their thread before it allocated anything else
  double lifetime_ticks = 0; // summed over freed blocks
  uint32_t live_blocks = 0;
  uint32_t peak_blocks = 0;
  uint64_t epoch = 0; // peaks that peak_bytes and peak_blocks have been told of
};
static_assert(sizeof(SiteTotals) == 64);

// reallocs of a block.
struct ReallocTotals {
  uint64_t calls = 0;        // realloc of a block that was live
  uint64_t moved = 0;        // to another address
  uint64_t bytes_copied = 0; // at most: the smaller of old and new size, where it moved
};

struct ThreadTotals {
  uint64_t allocation_calls = 0;
  uint64_t free_calls = 0;
  uint64_t bytes_requested = 0;
  uint64_t temporary = 0;
  uint64_t freed_for_others = 0; // blocks it freed that another thread had allocated
  uint64_t live_bytes = 0;       // of blocks it allocated
  uint64_t live_blocks = 0;
  uint64_t peak_bytes = 0; // of the same at the process's peak
  uint64_t last_ticks = 0;
  uint64_t epoch = 0;
  uint32_t tid = 0; // from thread_start or the trace's summary; 0 unknown
  bool ended = false;
  uint64_t thread_pointer = 0; // of its thread control block, which lies at the end of its stack; 0 unknown
  std::string name;
  // The block it allocated last, while it could still be freed as a temporary one.
  uint64_t last_allocated = 0;
  // Between the two halves of a realloc.
  uint64_t moving_from = 0;
  uint64_t moving_size = 0;
  uint32_t moving_chain = 0;
};

struct SizeClass {
  uint64_t calls = 0;
  uint64_t bytes = 0;
  uint64_t live_blocks = 0; // at the end
  uint64_t live_bytes = 0;
};

struct TimelineBin {
  uint64_t max_live_bytes;
};

struct ReplayResult {
  uint64_t steps = 0;
  uint64_t allocation_calls = 0;
  uint64_t free_calls = 0;
  uint64_t bytes_requested = 0;
  uint64_t temporary = 0;
  uint64_t unknown_frees = 0;  // frees of blocks whose allocation is not in the trace
  uint64_t implicit_frees = 0; // allocations at an address that was live: its free was missed

  uint64_t live_bytes = 0;
  uint64_t live_blocks = 0;
  uint64_t peak_bytes = 0;  // most live requested bytes
  uint64_t peak_blocks = 0; // live blocks at that moment
  uint64_t peak_ticks = 0;
  uint64_t peak_step = 0; // ordinal of the step that made it, from 1; 0: never anything live
  uint64_t first_ticks = 0, last_ticks = 0;

  std::vector<SiteTotals> sites;    // [0]: events without a known stack
  std::vector<StackId> site_stacks; // same index
  std::unordered_map<uint32_t, ReallocTotals> reallocs_by_site;
  ReallocTotals reallocs;
  uint64_t chains = 0;             // blocks that were reallocated, by the time they were freed or at the end
  uint64_t chain_lengths[17] = {}; // [n]: chains of 2^(n-1) ... 2^n - 1 reallocs
  uint64_t longest_chain = 0;
  uint32_t longest_chain_site = 0;

  std::vector<ThreadTotals> threads; // by thread index; [0]: threads beyond Replay::kMaxThreads
  SizeClass size_classes[49];        // [n]: requests of 2^(n-1)+1 ... 2^n bytes; [0]: 0 and 1
  uint64_t lifetimes[64] = {};       // [n]: freed blocks that lived 2^(n-1) ... 2^n - 1 ticks
  MappingTracker mappings;

  uint64_t timeline_start_ticks = 0;
  uint64_t timeline_bin_ticks = 0;
  std::vector<TimelineBin> timeline;

  struct Mark {
    std::string name;
    uint64_t ticks;
    uint64_t step;
  };
  uint64_t lost_events[kLossCauses] = {}; // by LossCause, from the `lost` events of the trace

  std::vector<Mark> marks; // the first kMaxMarks
  static constexpr size_t kMaxMarks = 4096;
};

} // namespace hl
