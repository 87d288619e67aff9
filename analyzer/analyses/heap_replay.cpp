// See heap_replay.h.
#include "analyses/heap_replay.h"

#include <algorithm>
#include <chrono>

#include "reader/extended_payload.h"
#include "replay/batch_pipe.h"

namespace hl {

HeapReplay replay_heap(const Trace& trace, ReplayLimits limits, const ProgressCallback& progress,
                       ReplayOptions options) {
  const auto begin = std::chrono::steady_clock::now();
  HeapReplay heap;
  heap.replay = std::make_unique<Replay>(limits, trace.clock().start_ticks(), std::move(options));
  EventStream stream(trace, {.in_order = true, .from_ticks = 0, .to_ticks = limits.last_ticks});
  {
    BatchPipe pipe(stream);
    while (const EventBatch* batch = pipe.next()) {
      if (progress)
        progress(stream);
      if (!heap.replay->consume(*batch))
        break;
    }
  }
  heap.replay->finish();
  heap.stream = stream.counters();
  ReplayResult& result = heap.replay->result();
  LossSummary lost_events;
  std::copy(std::begin(result.lost_events), std::end(result.lost_events), lost_events.by_cause.begin());
  heap.lost = losses_of(trace, heap.stream, lost_events);
  for (const ThreadSummary& summary : trace.metadata().threads) {
    if (summary.thread_index >= result.threads.size())
      continue;
    ThreadTotals& thread = result.threads[summary.thread_index];
    if (thread.tid == 0)
      thread.tid = summary.tid;
    if (thread.name.empty())
      thread.name = summary.name;
  }
  heap.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return heap;
}

} // namespace hl
