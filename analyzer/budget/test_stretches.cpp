// See test_stretches.h.
#include "budget/test_stretches.h"

#include <algorithm>

#include "replay/replay.h"

namespace hl {
namespace {

class Stretches {
 public:
  std::map<std::string, TestStretch> tests;

  void mark(const std::string& name, const ReplayResult& now) {
    if (!name.starts_with(kTestMark))
      return;
    end(now);
    current_ = name.substr(kTestMark.size());
    begun_ = values(now);
    live_ = peak_ = now.live_bytes;
  }
  void step(const ReplayResult& now) { peak_ = std::max(peak_, now.live_bytes); }
  void end(const ReplayResult& now) {
    if (current_.empty())
      return;
    TestStretch& test = tests[current_];
    ++test.runs;
    const MetricValues after = values(now);
    const auto note = [&](ProfileMetric metric, uint64_t value) {
      test.metrics[metric] = std::max(test.metrics[metric], value);
    };
    using enum ProfileMetric;
    for (const ProfileMetric flow : {allocation_calls, bytes_requested, temporary_allocations, free_calls})
      note(flow, after[flow] - begun_[flow]);
    note(peak_bytes, peak_ - live_);
    note(exit_bytes, now.live_bytes > live_ ? now.live_bytes - live_ : 0);
    current_.clear();
  }

 private:
  static MetricValues values(const ReplayResult& now) {
    MetricValues result;
    using enum ProfileMetric;
    result[allocation_calls] = now.allocation_calls;
    result[bytes_requested] = now.bytes_requested;
    result[temporary_allocations] = now.temporary;
    result[free_calls] = now.free_calls;
    return result;
  }
  std::string current_; // empty: between tests
  MetricValues begun_;
  uint64_t live_ = 0, peak_ = 0;
};

} // namespace

bool is_test_metric(ProfileMetric metric) {
  using enum ProfileMetric;
  return metric == allocation_calls || metric == bytes_requested || metric == peak_bytes ||
         metric == exit_bytes || metric == temporary_allocations || metric == free_calls;
}

std::map<std::string, TestStretch> test_stretches(const Trace& trace, const ProgressCallback& progress) {
  Replay replay({}, trace.clock().start_ticks());
  EventStream stream(trace, {.in_order = true});
  Stretches stretches;
  EventBatch batch, single;
  size_t marks = 0;
  while (stream.next(batch)) {
    if (progress)
      progress(stream);
    single.payload.swap(batch.payload);
    // One by one: the most that is live between two marks may lie anywhere between them.
    for (const TraceEvent& event : batch.events) {
      single.events.assign(1, event);
      replay.consume(single);
      const ReplayResult& now = replay.result();
      stretches.step(now);
      for (; marks < now.marks.size(); ++marks)
        stretches.mark(now.marks[marks].name, now);
    }
  }
  stretches.end(replay.result());
  return std::move(stretches.tests);
}

} // namespace hl
