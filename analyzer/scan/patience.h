// How long a program stands still for a scan: up to a limit, and not on when it is killed or asked to end.
// The signal of a Ctrl-C cannot be delivered to a process that is stopped; it would be kept waiting for the
// whole scan.
#pragma once

#include <atomic>
#include <cstdint>

#include "heapledger/trace_format.h"

namespace hl {

class Patience {
 public:
  // For process `pid`, from now on, for `limit_ns`.
  Patience(uint32_t pid, ScanCause cause, uint64_t limit_ns);

  // Throws ScanFailed: too_long when the limit is reached or the process is asked to end, gone when it has
  // ended. Any thread. Reads the clock; looks at the process ten times a second.
  void require() const;

 private:
  // Signals that ask it to end (bit N-1: signal N) and wait to be delivered. Throws if it has ended.
  uint64_t signals_that_wait() const;

  const uint32_t pid_;
  const ScanCause cause_;
  const uint64_t began_ns_, limit_ns_;
  mutable std::atomic<uint64_t> next_look_ns_;
  mutable std::atomic<uint64_t> early_signals_{0};
};

} // namespace hl
