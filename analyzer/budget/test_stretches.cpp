// See test_stretches.h.
#include "budget/test_stretches.h"

#include <algorithm>
#include <optional>
#include <unordered_map>

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

// What the stacks of one run of a test do. At the peak: noted when a stack changes after it, as Replay does.
class StackCounts {
 public:
  void allocated(StackId stack, uint64_t size) {
    Count& count = change(stack, static_cast<int64_t>(size));
    ++count.calls;
    count.bytes += size;
  }
  void freed(StackId stack, uint64_t size) { change(stack, -static_cast<int64_t>(size)); }
  void stepped() {
    if (live_ > peak_) {
      peak_ = live_;
      ++epoch_;
    }
  }
  StackAmounts amounts(ProfileMetric metric) const {
    StackAmounts result;
    for (const auto& [stack, count] : counts_) {
      const int64_t at_peak = count.epoch == epoch_ ? count.at_peak : count.live;
      const int64_t value = metric == ProfileMetric::allocation_calls  ? static_cast<int64_t>(count.calls)
                            : metric == ProfileMetric::bytes_requested ? static_cast<int64_t>(count.bytes)
                            : metric == ProfileMetric::peak_bytes      ? at_peak
                                                                       : count.live;
      if (value > 0)
        result.emplace_back(stack, static_cast<uint64_t>(value));
    }
    return result;
  }
  uint64_t value(ProfileMetric metric) const {
    if (metric == ProfileMetric::peak_bytes)
      return static_cast<uint64_t>(peak_);
    if (metric == ProfileMetric::exit_bytes)
      return static_cast<uint64_t>(std::max<int64_t>(live_, 0));
    uint64_t sum = 0;
    for (const auto& [stack, count] : counts_)
      sum += metric == ProfileMetric::allocation_calls ? count.calls : count.bytes;
    return sum;
  }

 private:
  struct Count {
    uint64_t calls = 0, bytes = 0, epoch = 0;
    int64_t live = 0, at_peak = 0;
  };
  Count& change(StackId stack, int64_t by) {
    const auto [found, is_new] = counts_.try_emplace(stack);
    Count& count = found->second;
    if (is_new || count.epoch != epoch_) {
      count.at_peak = count.live;
      count.epoch = epoch_;
    }
    count.live += by;
    live_ += by;
    return count;
  }

  std::unordered_map<StackId, Count> counts_;
  int64_t live_ = 0, peak_ = 0; // beyond what was live when it began
  uint64_t epoch_ = 0;
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

std::map<TestMetric, StackAmounts> test_stacks(const Trace& trace, const std::vector<TestMetric>& wanted,
                                               const ProgressCallback& progress) {
  Replay replay({}, trace.clock().start_ticks());
  EventStream stream(trace, {.in_order = true});
  EventBatch batch, single;
  size_t marks = 0;
  std::string current;
  std::optional<StackCounts> counts; // of the current test, if it is wanted
  std::map<TestMetric, StackAmounts> result;
  std::map<TestMetric, uint64_t> most;
  const auto end = [&] {
    for (const TestMetric& one : wanted) {
      if (!counts || one.first != current)
        continue;
      const uint64_t value = counts->value(one.second);
      if (uint64_t& known = most[one]; value > known) {
        known = value;
        result[one] = counts->amounts(one.second);
      }
    }
    counts.reset();
  };
  const auto begin = [&](const std::string& name) {
    current = name.substr(kTestMark.size());
    if (std::any_of(wanted.begin(), wanted.end(),
                    [&](const TestMetric& one) { return one.first == current; }))
      counts.emplace();
  };
  while (stream.next(batch)) {
    if (progress)
      progress(stream);
    single.payload.swap(batch.payload);
    for (const TraceEvent& event : batch.events) {
      const bool of_heap = event.kind != EventKind::extended;
      const ReplayResult& now = replay.result();
      if (const LiveBlock* old = counts && of_heap ? replay.live().find(event.address) : nullptr)
        counts->freed(now.site_stacks[old->site], old->size);
      single.events.assign(1, event);
      replay.consume(single);
      if (counts && of_heap && !event.frees())
        if (const LiveBlock* block = replay.live().find(event.address))
          counts->allocated(now.site_stacks[block->site], block->size);
      if (counts)
        counts->stepped();
      for (; marks < now.marks.size(); ++marks)
        if (now.marks[marks].name.starts_with(kTestMark)) {
          end();
          begin(now.marks[marks].name);
        }
    }
  }
  end();
  return result;
}

} // namespace hl
