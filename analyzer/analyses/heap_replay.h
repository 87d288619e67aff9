// A trace replayed up to a moment: the one way every verb that looks at the heap gets its numbers.
#pragma once

#include <memory>

#include "analyses/moment.h"
#include "analyses/trace_summary.h"
#include "replay/replay.h"

namespace hl {

struct HeapReplay {
  std::unique_ptr<Replay> replay;
  LossSummary lost;
  EventStream::Counters stream;
  double seconds = 0; // the replay took
  const ReplayResult& result() const { return replay->result(); }
};

HeapReplay replay_heap(const Trace& trace, ReplayLimits limits, const ProgressCallback& progress,
                       ReplayOptions options = {});

} // namespace hl
