// See trace_summary.h.
#include "analyses/trace_summary.h"

#include <algorithm>
#include <unordered_set>
#include <vector>

#include "reader/extended_payload.h"
#include "replay/batch_pipe.h"

namespace hl {

LossSummary losses_of(const Trace& trace, const EventStream::Counters& counters,
                      const LossSummary& lost_events) {
  LossSummary losses;
  const TraceMetadata& metadata = trace.metadata();
  for (size_t i = 0; i < kLossCauses; ++i)
    losses.by_cause[i] =
        std::max(metadata.has_losses ? metadata.losses.losses[i] : 0, lost_events.by_cause[i]);
  losses.by_cause[static_cast<size_t>(LossCause::damaged)] += counters.damaged_events;
  return losses;
}

uint64_t duration_ns(const Trace& trace, uint64_t last_event_ticks) {
  uint64_t last = last_event_ticks;
  if (trace.metadata().has_status)
    last = std::max(last, trace.metadata().status.ended.ticks);
  return last == 0 ? 0 : trace.clock().ns(last);
}

TraceSummary summarize(const Trace& trace, const ProgressCallback& progress) {
  TraceSummary summary;
  EventStream stream(trace, {.in_order = false});
  BatchPipe pipe(stream);
  std::vector<bool> named(trace.nodes().size(), false);
  std::unordered_set<uint32_t> threads;
  uint32_t last_thread = UINT32_MAX;
  LossSummary lost_events;
  uint64_t kinds[8] = {};
  while (const EventBatch* batch = pipe.next()) {
    if (progress)
      progress(stream);
    for (const TraceEvent& event : batch->events) {
      if (event.is_release())
        continue;
      ++kinds[static_cast<size_t>(event.kind) & 7];
      if (event.stack != 0)
        named[event.stack] = true;
      // 0: a mark from outside.
      if (event.thread_index != last_thread && event.thread_index != 0)
        threads.insert(last_thread = event.thread_index);
      if (event.kind != EventKind::extended) [[likely]]
        continue;
      switch (event.extended_kind) {
      case ExtendedKind::mmap:
        ++summary.maps;
        break;
      case ExtendedKind::munmap:
        ++summary.unmaps;
        break;
      case ExtendedKind::mremap:
        ++summary.remaps;
        break;
      case ExtendedKind::vma_name:
        ++summary.named_maps;
        break;
      case ExtendedKind::lost: {
        ProcessCall call;
        if (parse_process_call(event.extended_kind, batch->payload_of(event), call))
          lost_events.by_cause[std::min<uint64_t>(call.a, kLossCauses - 1)] += call.b;
        ++summary.other;
        break;
      }
      default:
        ++summary.other;
        break;
      }
    }
  }
  const auto count = [&kinds](EventKind kind) { return kinds[static_cast<size_t>(kind)]; };
  summary.allocations = count(EventKind::malloc) + count(EventKind::calloc) + count(EventKind::aligned);
  summary.frees = count(EventKind::free);
  summary.reallocations = count(EventKind::realloc);
  summary.threads = std::max<uint64_t>(threads.size(), trace.metadata().threads.size());
  summary.stacks = static_cast<uint64_t>(std::count(named.begin(), named.end(), true));
  summary.stream = stream.counters();
  summary.lost = losses_of(trace, summary.stream, lost_events);
  summary.duration_ns = duration_ns(trace, summary.stream.last_ticks);
  if (summary.events() != 0)
    summary.bytes_per_event = static_cast<double>(trace.file_bytes()) / static_cast<double>(summary.events());
  return summary;
}

} // namespace hl
