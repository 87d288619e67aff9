// See fatal_signals.h.
#include "boot/fatal_signals.h"

#include <atomic>

#include "boot/bus_errors.h"
#include "runtime/leak_request.h"
#include "runtime/process.h"

namespace hl {

namespace {

// Not among them: SIGPIPE, SIGALRM and SIGUSR1/2, of which short-lived parts of pipelines and protocols die
// all the time; SIGTRAP and SIGSYS, which belong to debuggers and sandboxes.
constexpr int kFatalSignals[] = {SIGHUP, SIGINT, SIGQUIT, SIGILL,  SIGABRT,
                                 SIGBUS, SIGFPE, SIGSEGV, SIGTERM, SIGXCPU};

constexpr uint64_t bit_of(int signal) {
  return uint64_t{1} << (signal - 1);
}

constexpr uint64_t fatal_mask() {
  uint64_t mask = 0;
  for (const int signal : kFatalSignals)
    mask |= bit_of(signal);
  return mask;
}

std::atomic<bool> g_watching;

const sys::KernelAction kDefault = {nullptr, 0, nullptr, 0};

// The instruction that the signal came from will raise it again.
bool is_fault(int signal, const siginfo_t* info) {
  return info->si_code > 0 && (signal == SIGSEGV || signal == SIGBUS || signal == SIGILL || signal == SIGFPE);
}

} // namespace

void on_fatal_signal(int signal, siginfo_t* info, void*) {
  // A child that was cloned into a new pid namespace; the kernel would have kept this signal from it.
  if (sys::process_id() == 1 && !is_fault(signal, info))
    return;
  if (g_watching.load(std::memory_order_relaxed))
    scan_before_end(signal == SIGABRT ? ScanCause::abort : ScanCause::signal);
  sys::signal_action(signal, &kDefault, nullptr);
  // Not left to the instruction alone: another thread may have mended meanwhile what it stumbled over.
  sys::signal_own_thread(signal, *info);
}

bool is_watched(int signal) {
  if (signal == SIGBUS)
    return bus_errors_watched();
  return signal > 0 && signal <= 64 && (fatal_mask() & bit_of(signal)) != 0 &&
         g_watching.load(std::memory_order_relaxed);
}

bool is_own_handler(const void* handler) {
  return handler == reinterpret_cast<const void*>(&on_fatal_signal) || handler == default_bus_entry();
}

sys::KernelAction own_action(int signal, unsigned long flags, uint64_t mask) {
  return {signal == SIGBUS ? default_bus_entry() : reinterpret_cast<const void*>(&on_fatal_signal),
          flags | SA_SIGINFO | SA_ONSTACK | sys::kHasRestorer, hl_signal_return, mask};
}

void watch_fatal_signals() {
  const SessionHeader* const session = g_process.view.header();
  if (session->leak_policy == LeakPolicy::none || (g_process.flags & kSessionRecorderless) != 0 ||
      sys::process_id() == 1) {
    return;
  }
  g_watching.store(true, std::memory_order_relaxed);
  for (const int signal : kFatalSignals) {
    sys::KernelAction present;
    const sys::KernelAction own = own_action(signal, 0, 0);
    if (signal != SIGBUS && sys::signal_action(signal, nullptr, &present) && present.handler == nullptr) {
      sys::signal_action(signal, &own, nullptr);
    }
  }
}

void leave_fatal_signals() {
  if (!g_watching.exchange(false, std::memory_order_relaxed))
    return;
  for (const int signal : kFatalSignals) {
    sys::KernelAction present;
    if (signal != SIGBUS && sys::signal_action(signal, nullptr, &present) &&
        is_own_handler(present.handler)) {
      sys::signal_action(signal, &kDefault, nullptr);
    }
  }
}

} // namespace hl
