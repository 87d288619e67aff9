// The stamp of an event. Contract: see design "Time": a free is stamped before the real free, an
// allocation after the real one; stamps of one thread never decrease (the caller clamps).
//
// stamp_unordered() may execute early by the length of the instruction window: enough while one thread
// lives. stamp_after() waits for everything before it to have executed, so that it cannot be taken before the
// real allocation returned, nor that of a free before its thread learned of the block from another.
// Where the counter is forbidden (seccomp, PR_SET_TSC) the shared logical clock orders events instead.
#pragma once

#include <stdint.h>
#include <time.h>

#include "heapledger/session_layout.h"
#include "platform/syscalls.h"

namespace hl {

#if defined(__x86_64__)
inline uint64_t stamp_unordered() {
  return __builtin_ia32_rdtsc();
}
inline uint64_t stamp_after() {
  unsigned processor;
  return __builtin_ia32_rdtscp(&processor);
}
#else
#error "port: counter"
#endif

// Four clocks read together; the pair with the smallest gap of a few tries.
inline ClockPair read_clock_pair() {
  ClockPair best{};
  uint64_t best_gap = ~uint64_t{0};
  for (int i = 0; i < 3; ++i) {
    ClockPair now;
    const uint64_t before = stamp_after();
    now.monotonic_ns = sys::clock_ns(CLOCK_MONOTONIC);
    const uint64_t after = stamp_after();
    now.boottime_ns = sys::clock_ns(CLOCK_BOOTTIME);
    now.realtime_ns = sys::clock_ns(CLOCK_REALTIME);
    now.ticks = before + (after - before) / 2;
    if (after - before < best_gap) {
      best_gap = after - before;
      best = now;
    }
  }
  return best;
}

} // namespace hl
