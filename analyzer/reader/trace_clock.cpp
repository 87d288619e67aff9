// See trace_clock.h.
#include "reader/trace_clock.h"

#include <algorithm>
#include <cmath>

namespace hl {
namespace {

double signed_difference(uint64_t a, uint64_t b) {
  return static_cast<double>(static_cast<int64_t>(a - b));
}

// Into uint64_t without undefined behaviour, whatever a hostile clock says.
uint64_t clamped(double value) {
  if (!(value > 0))
    return 0;
  if (value >= 18446744073709549568.0)
    return UINT64_MAX;
  return static_cast<uint64_t>(value);
}

// Closer pairs say little about the rate of the counter.
constexpr uint64_t kMinPairDistanceNs = 1'000'000;

} // namespace

TraceClock::TraceClock(const ClockPair& start, std::vector<ClockPair> pairs)
    : start_ticks_(start.ticks), start_wall_ns_(start.realtime_ns) {
  std::vector<ClockPair> usable{start};
  std::sort(pairs.begin(), pairs.end(),
            [](const ClockPair& a, const ClockPair& b) { return a.ticks < b.ticks; });
  for (const ClockPair& pair : pairs) {
    const ClockPair& last = usable.back();
    if (pair.ticks <= last.ticks || pair.monotonic_ns <= last.monotonic_ns ||
        pair.monotonic_ns - last.monotonic_ns < kMinPairDistanceNs)
      continue;
    usable.push_back(pair);
  }
  if (usable.size() < 2 && !pairs.empty() && pairs.front().ticks < start.ticks &&
      pairs.front().monotonic_ns < start.monotonic_ns) {
    // Pairs from before this image started (the session's): they still give the rate.
    usable.insert(usable.begin(), pairs.front());
  }
  calibrated_ = usable.size() >= 2;
  for (size_t i = 0; i < usable.size(); ++i) {
    const ClockPair& from = usable[i];
    Segment segment{from.ticks, signed_difference(from.monotonic_ns, start.monotonic_ns),
                    signed_difference(from.realtime_ns, start.realtime_ns), 1.0, 1.0};
    if (i + 1 < usable.size()) {
      const ClockPair& to = usable[i + 1];
      const double ticks = static_cast<double>(to.ticks - from.ticks);
      segment.ns_per_tick = static_cast<double>(to.monotonic_ns - from.monotonic_ns) / ticks;
      segment.wall_per_tick = signed_difference(to.realtime_ns, from.realtime_ns) / ticks;
      // A wall clock that was set back has no rate; go on with the steady one.
      if (!(segment.wall_per_tick > 0))
        segment.wall_per_tick = segment.ns_per_tick;
    } else if (i > 0) {
      segment.ns_per_tick = segments_.back().ns_per_tick;
      segment.wall_per_tick = segment.ns_per_tick;
    }
    segments_.push_back(segment);
  }
  if (calibrated_)
    average_ = static_cast<double>(usable.back().monotonic_ns - usable.front().monotonic_ns) /
               static_cast<double>(usable.back().ticks - usable.front().ticks);
}

const TraceClock::Segment& TraceClock::at(uint64_t ticks) const {
  auto after = std::upper_bound(segments_.begin(), segments_.end(), ticks,
                                [](uint64_t value, const Segment& segment) { return value < segment.ticks; });
  return after == segments_.begin() ? segments_.front() : *(after - 1);
}

uint64_t TraceClock::ns(uint64_t ticks) const {
  if (segments_.empty())
    return ticks;
  const Segment& segment = at(ticks);
  return clamped(std::round(segment.ns + signed_difference(ticks, segment.ticks) * segment.ns_per_tick));
}

uint64_t TraceClock::wall_ns(uint64_t ticks) const {
  if (segments_.empty())
    return 0;
  const Segment& segment = at(ticks);
  const double since_start =
      segment.wall_ns + signed_difference(ticks, segment.ticks) * segment.wall_per_tick;
  return start_wall_ns_ + static_cast<uint64_t>(static_cast<int64_t>(std::clamp(since_start, -9e18, 9e18)));
}

namespace {

// The smallest tick for which `value_at` reaches `wanted`; value_at never falls.
template <typename ValueAt> uint64_t first_tick(uint64_t low, uint64_t wanted, ValueAt value_at) {
  uint64_t high = UINT64_MAX >> 1;
  if (value_at(low) >= wanted)
    return low;
  while (low + 1 < high) {
    const uint64_t middle = low + (high - low) / 2;
    (value_at(middle) >= wanted ? high : low) = middle;
  }
  return high;
}

} // namespace

uint64_t TraceClock::ticks_at_ns(uint64_t wanted) const {
  return first_tick(std::min(start_ticks_, UINT64_MAX >> 2), wanted,
                    [this](uint64_t ticks) { return ns(ticks); });
}

uint64_t TraceClock::ticks_at_wall_ns(uint64_t wanted) const {
  return first_tick(std::min(start_ticks_, UINT64_MAX >> 2), wanted,
                    [this](uint64_t ticks) { return wall_ns(ticks); });
}

} // namespace hl
