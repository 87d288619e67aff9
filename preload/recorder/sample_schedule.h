// When one process is sampled: pure decisions, without clock and process, so that they can be tested.
//
//   statm    every 10 ms at first and while memory changes, growing to 250 ms while it does not
//   rollup   every second
//   map      soon after the start; when resident memory passed by a tenth and a MiB what it was at any map
//   before,
//            so that a peak is never missed by more, at logarithmically many moments; and for the time line
//            every second at first, later every two hundredth of the time so far, if anything has changed
#pragma once

#include <algorithm>
#include <cstdint>

#include "heapledger/trace_format.h"

namespace hl {

class SampleSchedule {
 public:
  // `began_ns`: when the process began, `now_ns`: when it was found; CLOCK_MONOTONIC like all times here.
  SampleSchedule(uint64_t began_ns, uint64_t now_ns)
      : began_ns_(began_ns), next_statm_ns_(now_ns), next_rollup_ns_(now_ns + kFirstRollupNs),
        next_map_ns_(now_ns - began_ns < kYoungNs ? began_ns + kStartNs : now_ns + kStartNs),
        map_cause_(now_ns - began_ns < kYoungNs ? SampleCause::start : SampleCause::periodic) {}

  uint64_t next_statm_ns() const { return next_statm_ns_; }
  uint64_t next_rollup_ns() const { return next_rollup_ns_; }
  // When a map is due, and why; ~0: it is not, as nothing has changed.
  uint64_t next_map_ns() const { return passed_peak_ ? 0 : changed_ ? next_map_ns_ : ~uint64_t{0}; }
  SampleCause map_cause() const { return passed_peak_ ? SampleCause::peak : map_cause_; }

  // Bytes as statm says them.
  void statm_read(uint64_t now_ns, uint64_t size, uint64_t rss) {
    const uint64_t change = rss > rss_ ? rss - rss_ : rss_ - rss;
    interval_ns_ = change > rss_ / 50 ? std::max(interval_ns_ / 2, kShortestNs)
                                      : std::min(interval_ns_ + interval_ns_ / 4, kLongestNs);
    changed_ |= change != 0 || size != size_;
    rss_ = rss;
    size_ = size;
    next_statm_ns_ = now_ns + interval_ns_;
    passed_peak_ = mapped_once_ && rss > highest_mapped_ + highest_mapped_ / 10 + kPeakMargin;
  }
  // It could not be read; it may be ending.
  void statm_failed(uint64_t now_ns) { next_statm_ns_ = now_ns + kLongestNs; }
  void rollup_read(uint64_t now_ns) { next_rollup_ns_ = now_ns + kRollupNs; }
  // A map was taken (or could not be): the next one is due after the interval, and not before what it takes
  // on disk is spread out.
  void map_taken(uint64_t now_ns, uint64_t rss, uint64_t stored_bytes) {
    highest_mapped_ = std::max(highest_mapped_, rss);
    mapped_once_ = true;
    passed_peak_ = changed_ = false;
    map_cause_ = SampleCause::periodic;
    const uint64_t by_time = std::max((now_ns - began_ns_) / 200, kFirstPeriodNs);
    next_map_ns_ = now_ns + std::max(by_time, stored_bytes * 1'000'000 / kBytesPerMs);
  }

 private:
  static constexpr uint64_t kMs = 1'000'000;
  static constexpr uint64_t kShortestNs = 10 * kMs, kLongestNs = 250 * kMs;
  static constexpr uint64_t kFirstRollupNs = 50 * kMs, kRollupNs = 1000 * kMs, kFirstPeriodNs = 1000 * kMs;
  static constexpr uint64_t kStartNs = 30 * kMs, kYoungNs = 1000 * kMs;
  static constexpr uint64_t kPeakMargin = uint64_t{1} << 20;
  static constexpr uint64_t kBytesPerMs = 32; // of trace, for the time line

  uint64_t began_ns_, next_statm_ns_, next_rollup_ns_, next_map_ns_;
  SampleCause map_cause_;
  uint64_t interval_ns_ = kShortestNs;
  uint64_t rss_ = 0, size_ = 0, highest_mapped_ = 0;
  bool changed_ = true, mapped_once_ = false, passed_peak_ = false;
};

} // namespace hl
