// See patience.h.
#include "scan/patience.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <string>

#include "scan/monotonic_time.h"
#include "scan/process_status.h"
#include "scan/scan_failed.h"

namespace hl {
namespace {

constexpr uint64_t kMs = 1'000'000;
constexpr uint64_t kLookEveryNs = 100 * kMs;
// timeout(1) and service managers signal a process and its group: the second signal is no second wish. And
// what takes no longer does not keep anybody waiting.
constexpr uint64_t kFirstMomentNs = 1000 * kMs;

constexpr uint64_t bit_of(int signal) {
  return uint64_t{1} << (signal - 1);
}
constexpr uint64_t kAskToEnd = bit_of(SIGINT) | bit_of(SIGTERM) | bit_of(SIGQUIT) | bit_of(SIGHUP);

[[noreturn]] void process_ended() {
  throw ScanFailed(ScanFailure::gone, "the process ended during the scan");
}

} // namespace

Patience::Patience(uint32_t pid, ScanCause cause, uint64_t limit_ns)
    : pid_(pid), cause_(cause), began_ns_(monotonic_ns()), limit_ns_(limit_ns),
      next_look_ns_(began_ns_ + kLookEveryNs) {}

void Patience::require() const {
  const uint64_t now_ns = monotonic_ns();
  if (now_ns - began_ns_ > limit_ns_)
    throw ScanFailed(ScanFailure::too_long, "the program stood still for longer than the scan's limit");
  // Relaxed: it does not matter which thread looks, nor if two do.
  if (now_ns < next_look_ns_.load(std::memory_order_relaxed))
    return;
  next_look_ns_.store(now_ns + kLookEveryNs, std::memory_order_relaxed);
  const uint64_t waiting = signals_that_wait();
  if (now_ns - began_ns_ < kFirstMomentNs) {
    early_signals_.fetch_or(waiting, std::memory_order_relaxed);
    return;
  }
  if (const uint64_t asking = waiting & ~early_signals_.load(std::memory_order_relaxed); asking != 0)
    throw ScanFailed(ScanFailure::too_long, std::string("given up when the program was asked to end (SIG") +
                                                ::sigabbrev_np(__builtin_ctzll(asking) + 1) + ")");
}

uint64_t Patience::signals_that_wait() const {
  const std::optional<TaskStatus> status = task_status(pid_, pid_);
  if (!status) {
    // Where /proc hides it, nothing is known of it but this.
    if (::kill(static_cast<pid_t>(pid_), 0) != 0 && errno == ESRCH)
      process_ended();
    return 0;
  }
  const auto has_ended = [](char state) { return state == 'Z' || state == 'X'; };
  // The main thread may have ended before the others.
  if (has_ended(status->state) && std::ranges::all_of(tasks_of(pid_), [&](uint32_t tid) {
        const std::optional<TaskStatus> task = task_status(pid_, tid);
        return !task || has_ended(task->state);
      }))
    process_ended();
  // A stopped process is sent even what it ignores.
  uint64_t waiting = status->pending & ~status->ignored & kAskToEnd;
  // While it dies of a signal our own handler runs, which blocks that signal. Otherwise what every thread
  // blocks is not about to end it.
  if (cause_ == ScanCause::signal || (waiting & status->blocked) == 0)
    return waiting;
  uint64_t blocked = status->blocked;
  for (const uint32_t tid : tasks_of(pid_))
    if (const std::optional<TaskStatus> task = task_status(pid_, tid))
      blocked &= task->blocked;
  return waiting & ~blocked;
}

} // namespace hl
