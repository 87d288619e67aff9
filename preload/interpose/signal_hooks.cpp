// Hooks on the functions that set what a signal does: they hide the handlers of boot/fatal_signals.h and
// boot/bus_errors.h. For other signals, and where nothing is watched, they only pass on.
//
// Setting the default is one system call of ours, not libc's call and a correction: a handler that another
// thread sets at the same time must not be replaced. What libc's functions would do besides (flags, masks) is
// done likewise. sigignore and siginterrupt need no hook: what they read and write back stays what it is.
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>

#include "boot/bus_errors.h"
#include "boot/fatal_signals.h"
#include "boot/real_functions.h"
#include "runtime/leak_request.h"
#include "runtime/stack_capture.h"

using namespace hl;

#define HL_BODY extern "C" [[gnu::visibility("hidden")]]

namespace {

using Handler = void (*)(int);

constexpr unsigned long kOwnFlags = SA_SIGINFO | SA_ONSTACK | sys::kHasRestorer;

Handler as_handler(const void* address) {
  return reinterpret_cast<Handler>(reinterpret_cast<uintptr_t>(address));
}

// What the program may know of a disposition.
Handler shown(Handler handler) {
  const ProgramHandler behind = handler_behind(reinterpret_cast<const void*>(handler));
  if (behind.handler != nullptr)
    return as_handler(behind.handler);
  return is_own_handler(reinterpret_cast<const void*>(handler)) ? SIG_DFL : handler;
}

Handler handler_of(const sys::KernelAction& action) {
  return as_handler(action.handler);
}

// What stands before a handler that the program sets; nullptr: nothing.
const void* before(int signal, Handler next, bool takes_details) {
  return signal == SIGBUS ? bus_entry_before(reinterpret_cast<const void*>(next), takes_details) : nullptr;
}

// `entry`: what before() said of a handler that takes no details; nullptr: the default action is meant.
sys::KernelAction own_or_guarded(int signal, const void* entry, unsigned long flags, uint64_t mask) {
  if (entry == nullptr)
    return own_action(signal, flags, mask);
  return {entry, flags | SA_SIGINFO | sys::kHasRestorer, hl_signal_return, mask};
}

void show(struct sigaction* action) {
  if (action == nullptr)
    return;
  const ProgramHandler behind = handler_behind(reinterpret_cast<const void*>(action->sa_handler));
  if (behind.handler != nullptr) {
    action->sa_handler = as_handler(behind.handler);
    if (!behind.takes_details)
      action->sa_flags &= ~SA_SIGINFO;
    return;
  }
  // What a handler that runs once has left behind, where SA_SIGINFO was ours.
  if (action->sa_handler == SIG_DFL && action->sa_restorer == hl_signal_return)
    action->sa_flags &= ~SA_SIGINFO;
  if (!is_own_handler(reinterpret_cast<const void*>(action->sa_handler)))
    return;
  action->sa_handler = SIG_DFL;
  action->sa_flags &= static_cast<int>(~kOwnFlags);
  action->sa_restorer = nullptr;
}

int sigaction_body(void* real, int signal, const struct sigaction* next, struct sigaction* last) {
  if (!is_watched(signal))
    return real_as<decltype(sigaction)>(real)(signal, next, last);
  const bool takes_details = next != nullptr && (next->sa_flags & SA_SIGINFO) != 0;
  const void* const entry = next != nullptr ? before(signal, next->sa_handler, takes_details) : nullptr;
  if (next == nullptr || (next->sa_handler != SIG_DFL && (entry == nullptr || takes_details))) {
    struct sigaction guarded;
    if (entry != nullptr) {
      guarded = *next;
      guarded.sa_handler = as_handler(entry);
      next = &guarded;
    }
    const int result = real_as<decltype(sigaction)>(real)(signal, next, last);
    if (result == 0)
      show(last);
    return result;
  }
  uint64_t mask;
  memcpy(&mask, &next->sa_mask, sizeof mask);
  const sys::KernelAction own = own_or_guarded(signal, entry, static_cast<unsigned>(next->sa_flags), mask);
  sys::KernelAction present;
  if (!sys::signal_action(signal, &own, &present)) {
    errno = EINVAL;
    return -1;
  }
  if (last != nullptr) {
    memset(&last->sa_mask, 0, sizeof last->sa_mask);
    memcpy(&last->sa_mask, &present.mask, sizeof present.mask);
    last->sa_handler = handler_of(present);
    last->sa_flags = static_cast<int>(present.flags & ~sys::kHasRestorer);
    last->sa_restorer = present.restorer;
    show(last);
  }
  return 0;
}

// `flags`: what this kind of signal() has with each disposition.
Handler signal_body(void* real, int signal, Handler next, unsigned long flags, uint64_t mask) {
  const void* const entry = is_watched(signal) ? before(signal, next, false) : nullptr;
  if (!is_watched(signal) || (next != SIG_DFL && entry == nullptr))
    return shown(real_as<Handler(int, Handler)>(real)(signal, next));
  const sys::KernelAction own = own_or_guarded(signal, entry, flags, mask);
  sys::KernelAction present;
  if (!sys::signal_action(signal, &own, &present)) {
    errno = EINVAL;
    return SIG_ERR;
  }
  return shown(handler_of(present));
}

uint64_t bit_of(int signal) {
  return uint64_t{1} << ((signal - 1) & 63);
}

constexpr unsigned long kOneShot = SA_RESETHAND | SA_NODEFER; // System V's

} // namespace

HL_BODY int hl_hook_sigaction(int signal, const struct sigaction* next, struct sigaction* last,
                              const EntryRegisters*) {
  return sigaction_body(real(g_real.sigaction), signal, next, last);
}

HL_BODY int hl_hook___sigaction(int signal, const struct sigaction* next, struct sigaction* last,
                                const EntryRegisters*) {
  return sigaction_body(real(g_real.__sigaction), signal, next, last);
}

HL_BODY Handler hl_hook_signal(int signal, Handler next, const EntryRegisters*) {
  return signal_body(real(g_real.signal), signal, next, SA_RESTART, bit_of(signal));
}

HL_BODY Handler hl_hook_bsd_signal(int signal, Handler next, const EntryRegisters*) {
  return signal_body(real(g_real.bsd_signal), signal, next, SA_RESTART, bit_of(signal));
}

HL_BODY Handler hl_hook_ssignal(int signal, Handler next, const EntryRegisters*) {
  return signal_body(real(g_real.ssignal), signal, next, SA_RESTART, bit_of(signal));
}

HL_BODY Handler hl_hook_sysv_signal(int signal, Handler next, const EntryRegisters*) {
  return signal_body(real(g_real.sysv_signal), signal, next, kOneShot, 0);
}

HL_BODY Handler hl_hook___sysv_signal(int signal, Handler next, const EntryRegisters*) {
  return signal_body(real(g_real.__sysv_signal), signal, next, kOneShot, 0);
}

HL_BODY Handler hl_hook_sigset(int signal, Handler next, const EntryRegisters*) {
  void* const function = real(g_real.sigset);
  if (!is_watched(signal) || (next != SIG_DFL && before(signal, next, false) == nullptr))
    return shown(real_as<Handler(int, Handler)>(function)(signal, next));
  const Handler last = signal_body(function, signal, next, 0, 0);
  const uint64_t unblocked = bit_of(signal);
  uint64_t mask = 0;
  sys::raw_syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, sys::pointer_arg(&unblocked), sys::pointer_arg(&mask),
                   sizeof mask);
  return (mask & unblocked) != 0 ? SIG_HOLD : last;
}

// A handler that is to run once (SA_RESETHAND) leaves the kernel's default behind, not ours; such handlers
// raise the signal again to die of it. Nothing is put there now: a handler that another thread sets meanwhile
// must not be replaced.
HL_BODY int hl_hook_raise(int signal, const EntryRegisters*) {
  sys::KernelAction now;
  uint64_t blocked = 0;
  if (is_watched(signal) && sys::signal_action(signal, nullptr, &now) && handler_of(now) == SIG_DFL &&
      !sys::failed(
          sys::raw_syscall(SYS_rt_sigprocmask, SIG_BLOCK, 0, sys::pointer_arg(&blocked), sizeof blocked)) &&
      (blocked & bit_of(signal)) == 0) {
    const int error = errno;
    scan_before_end(signal == SIGABRT ? ScanCause::abort : ScanCause::signal);
    errno = error;
  }
  return real_as<decltype(raise)>(real(g_real.raise))(signal);
}
