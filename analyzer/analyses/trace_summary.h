// What a trace holds, counted without replaying it: for `info`, and for what every report says was lost.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>

#include "reader/event_stream.h"
#include "reader/trace.h"

namespace hl {

// Events that are not in the trace, by cause.
struct LossSummary {
  std::array<uint64_t, kLossCauses> by_cause{};
  uint64_t total() const {
    uint64_t sum = 0;
    for (const uint64_t count : by_cause)
      sum += count;
    return sum;
  }
};

struct TraceSummary {
  uint64_t allocations = 0; // malloc, calloc, aligned
  uint64_t frees = 0;
  uint64_t reallocations = 0;
  uint64_t maps = 0; // mmap
  uint64_t unmaps = 0;
  uint64_t remaps = 0;
  uint64_t named_maps = 0; // prctl(PR_SET_VMA_ANON_NAME)
  uint64_t other = 0;      // marks, threads, forks, advice ...
  uint64_t events() const {
    return allocations + frees + reallocations + maps + unmaps + remaps + named_maps + other;
  }
  uint64_t threads = 0; // seen
  uint64_t stacks = 0;  // nodes that an event names
  uint64_t duration_ns = 0;
  double bytes_per_event = 0; // of the file, everything in it included
  LossSummary lost;
  EventStream::Counters stream;
};

using ProgressCallback = std::function<void(const EventStream&)>;

TraceSummary summarize(const Trace& trace, const ProgressCallback& progress);

// The shim's counters where they are there, what the events themselves say where not; and what the reader
// lost. `lost_events`: from the `lost` events met on the way.
LossSummary losses_of(const Trace& trace, const EventStream::Counters& counters,
                      const LossSummary& lost_events);

// From the start of the trace to the end of the process, or to its last event.
uint64_t duration_ns(const Trace& trace, uint64_t last_event_ticks);

} // namespace hl
