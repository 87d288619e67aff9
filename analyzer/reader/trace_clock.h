// Ticks of a trace -> nanoseconds since its start and wall-clock time, and back, along the recorded clock
// pairs: linear between two pairs, on with the last slope beyond them.
#pragma once

#include <cstdint>
#include <vector>

#include "heapledger/session_layout.h"

namespace hl {

class TraceClock {
 public:
  // `start`: time 0. Pairs in any order; those that contradict their predecessors are left out.
  TraceClock() = default;
  TraceClock(const ClockPair& start, std::vector<ClockPair> pairs);

  // false: fewer than two usable pairs, so a tick is taken for a nanosecond.
  bool calibrated() const { return calibrated_; }
  uint64_t start_ticks() const { return start_ticks_; }

  // Nanoseconds since the start; before the start: 0.
  uint64_t ns(uint64_t ticks) const;
  // CLOCK_REALTIME in ns since 1970.
  uint64_t wall_ns(uint64_t ticks) const;
  // The first tick that is at least so late.
  uint64_t ticks_at_ns(uint64_t ns) const;
  uint64_t ticks_at_wall_ns(uint64_t wall_ns) const;
  // Overall, for spans: nanoseconds a tick.
  double ns_per_tick() const { return segments_.empty() ? 1.0 : average_; }

 private:
  struct Segment {
    uint64_t ticks; // from here on
    double ns;      // since start, at `ticks`
    double wall_ns; // since start's wall time
    double ns_per_tick, wall_per_tick;
  };
  const Segment& at(uint64_t ticks) const;

  std::vector<Segment> segments_;
  uint64_t start_ticks_ = 0;
  uint64_t start_wall_ns_ = 0;
  double average_ = 1.0;
  bool calibrated_ = false;
};

} // namespace hl
