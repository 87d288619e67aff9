// See leak_request.h.
#include "runtime/leak_request.h"

#include <errno.h>
#include <string.h>
#include <sys/prctl.h>

#include "platform/syscalls.h"
#include "runtime/copy_server.h"
#include "runtime/process.h"

namespace hl {

namespace {

constexpr uint64_t kMs = 1'000'000;
constexpr uint64_t kSliceNs = 20 * kMs;
constexpr uint64_t kLongestWaitNs = 600'000 * kMs;
constexpr uint64_t kLongLivedNs = 1'000 * kMs;

bool may_ask() {
  const SessionProcess* const slot = g_process.slot;
  // A vfork child borrows its parent's memory. A filter on system calls may kill for what waiting needs.
  return slot != nullptr && g_process.phase.load(std::memory_order_relaxed) == Phase::recording &&
         (g_process.flags & kSessionRecorderless) == 0 &&
         !g_process.restricted.load(std::memory_order_relaxed) && slot->pid == sys::process_id();
}

// A recorder that is there but silent may be short of processor or disk; one that is gone is started anew at
// once, or never.
uint64_t longest_silence_ns(const SessionHeader& session) {
  constexpr uint64_t kPatience = 2;
  const uint32_t pid = session.recorder_pid.load(std::memory_order_relaxed);
  const bool is_there = pid != 0 && g_process.slot->pid_namespace == session.pid_namespace &&
                        sys::raw_syscall(SYS_kill, pid, 0) != -ESRCH;
  return is_there ? kPatience * session.scan_wait_ns : session.scan_wait_ns;
}

// Waits while `pending()`, as long as the recorder's heart beats; what changes wakes the futex `word`.
template <typename Pending>
bool wait_for_recorder(const std::atomic<uint32_t>& word, const Pending& pending) {
  const SessionHeader* const session = g_process.view.header();
  const uint64_t began_ns = sys::clock_ns(CLOCK_MONOTONIC);
  uint64_t beat = session->recorder_heartbeat.load(std::memory_order_relaxed), beat_ns = began_ns;
  for (;;) {
    // Acquire: what the recorder did before it answered is done.
    const uint32_t seen = word.load(std::memory_order_acquire);
    if (!pending())
      return true;
    const RecorderState state =
        static_cast<RecorderState>(session->recorder_state.load(std::memory_order_relaxed));
    const uint64_t now_ns = sys::clock_ns(CLOCK_MONOTONIC);
    const uint64_t now_beat = session->recorder_heartbeat.load(std::memory_order_relaxed);
    if (now_beat != beat) {
      beat = now_beat;
      beat_ns = now_ns;
    }
    // Before the first recorder says that it runs, the program may already be at its end.
    if (state == RecorderState::finished || state == RecorderState::failed ||
        now_ns - began_ns > kLongestWaitNs) {
      return false;
    }
    if (now_ns - beat_ns > session->scan_wait_ns && now_ns - beat_ns > longest_silence_ns(*session))
      return false;
    sys::futex_wait(&word, seen, kSliceNs);
  }
}

bool wait_until_answered(uint32_t serial) {
  const ScanDesk& desk = g_process.slot->scans;
  return wait_for_recorder(desk.answered, [&desk, serial] {
    if (static_cast<int32_t>(desk.answered.load(std::memory_order_acquire) - serial) >= 0)
      return false;
    fork_copy_if_wanted();
    return true;
  });
}

bool is_root() {
  const SessionHeader* const session = g_process.view.header();
  const SessionProcess* const slot = g_process.slot;
  const uint32_t root = session->root_pid.load(std::memory_order_relaxed);
  // Not known yet: then it has only just started, and is the first.
  if (root == 0)
    return slot->generation == 1;
  return root == slot->global_pid.load(std::memory_order_relaxed) ||
         (root == slot->pid && slot->pid_namespace == session->pid_namespace);
}

// What is to be asked for before this image ends: ScanDeskWants, 0 nothing. A sample comes with the scan.
uint32_t wanted_at_end() {
  if (!may_ask())
    return 0;
  const SessionHeader* const session = g_process.view.header();
  const uint32_t wanted = session->leak_policy != LeakPolicy::none ? kDeskScan
                          : session->sample_budget_millionths != 0 ? kDeskSample
                                                                   : 0u;
  switch (session->leak_policy) {
  case LeakPolicy::all:
    return wanted;
  case LeakPolicy::root:
    return is_root() ? wanted : 0;
  case LeakPolicy::none:
  case LeakPolicy::automatic:
    break;
  }
  const bool lived_long =
      sys::clock_ns(CLOCK_MONOTONIC) - g_process.slot->started.monotonic_ns >= kLongLivedNs;
  return wanted != 0 && (is_root() || lived_long) ? wanted : 0;
}

} // namespace

void allow_scanner() {
  static bool unknown_to_the_kernel;
  const SessionHeader* const session = g_process.view.header();
  const uint32_t recorder = session->recorder_pid.load(std::memory_order_relaxed);
  // In another namespace its number means another process.
  if (unknown_to_the_kernel || recorder == 0 || g_process.restricted.load(std::memory_order_relaxed) ||
      g_process.slot->pid_namespace != session->pid_namespace) {
    return;
  }
  unknown_to_the_kernel = sys::raw_syscall(SYS_prctl, PR_SET_PTRACER, recorder, 0, 0, 0) == -EINVAL;
}

bool request_at_desk(uint32_t wanted, ScanCause cause, const char* name) {
  if (!may_ask())
    return false;
  ScanDesk& desk = g_process.slot->scans;
  const uint32_t self = sys::thread_id();
  // A handler on top of our own request.
  if (desk.lock.load(std::memory_order_relaxed) == self)
    return false;
  // Acquire: pairs with the recorder's release; it has read what stood there before.
  const auto take_desk = [&desk, self] {
    uint32_t free = 0;
    return desk.lock.compare_exchange_strong(free, self, std::memory_order_acquire);
  };
  // Taken: another request waits to be taken up.
  if (!wait_for_recorder(desk.answered, [&take_desk] { return !take_desk(); }))
    return false;
  // Another recorder may have taken over since the process began.
  allow_scanner();
  desk.wanted = wanted;
  desk.cause = static_cast<uint32_t>(cause);
  size_t bytes = 0;
  if (name != nullptr) {
    for (; name[bytes] != '\0' && bytes + 1 < sizeof desk.name; ++bytes)
      desk.name[bytes] = name[bytes];
  }
  desk.name[bytes] = '\0';
  // Release: cause and name stand there.
  const uint32_t serial = desk.requested.fetch_add(1, std::memory_order_release) + 1;
  sys::futex_wake(&g_process.view.header()->space_waiters);
  return wait_until_answered(serial);
}

void tell_of_mark() {
  SessionProcess* const slot = g_process.slot;
  if (slot == nullptr || (g_process.flags & kSessionRecorderless) != 0)
    return;
  // Release: pairs with the recorder's acquire; the mark is committed.
  if (slot->marks_waiting.exchange(1, std::memory_order_release) == 0 && may_ask() &&
      g_process.view.header()->sample_budget_millionths != 0)
    sys::futex_wake(&g_process.view.header()->space_waiters);
}

void scan_before_end(ScanCause cause) {
  const uint32_t wanted = wanted_at_end();
  if (wanted == 0)
    return;
  uint32_t last = g_process.end_scan_of.load(std::memory_order_relaxed);
  while (last != g_process.generation) {
    if (!g_process.end_scan_of.compare_exchange_weak(last, g_process.generation, std::memory_order_relaxed))
      continue;
    g_process.end_scan_cause = cause;
    request_at_desk(wanted, cause, nullptr);
    return;
  }
  wait_until_answered(g_process.slot->scans.requested.load(std::memory_order_acquire));
}

} // namespace hl
