// Hooks on the functions that set what a signal does: they hide the handlers of boot/fatal_signals.h. For
// other signals, and where nothing is watched, they only pass on.
//
// Setting the default is one system call of ours, not libc's call and a correction: a handler that another
// thread sets at the same time must not be replaced. What libc's functions would do besides (flags, masks) is
// done likewise. sigignore and siginterrupt need no hook: what they read and write back stays what it is.
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>

#include "boot/fatal_signals.h"
#include "boot/real_functions.h"
#include "runtime/leak_request.h"
#include "runtime/stack_capture.h"

using namespace hl;

#define HL_BODY extern "C" [[gnu::visibility("hidden")]]

namespace {

using Handler = void (*)(int);

constexpr unsigned long kOwnFlags = SA_SIGINFO | SA_ONSTACK | sys::kHasRestorer;

// What the program may know of a disposition.
Handler shown(Handler handler) {
  return is_own_handler(reinterpret_cast<const void*>(handler)) ? SIG_DFL : handler;
}

Handler handler_of(const sys::KernelAction& action) {
  return reinterpret_cast<Handler>(reinterpret_cast<uintptr_t>(action.handler));
}

void show(struct sigaction* action) {
  if (action == nullptr || !is_own_handler(reinterpret_cast<const void*>(action->sa_handler)))
    return;
  action->sa_handler = SIG_DFL;
  action->sa_flags &= static_cast<int>(~kOwnFlags);
  action->sa_restorer = nullptr;
}

int sigaction_body(void* real, int signal, const struct sigaction* next, struct sigaction* last) {
  if (!is_watched(signal))
    return real_as<decltype(sigaction)>(real)(signal, next, last);
  if (next == nullptr || next->sa_handler != SIG_DFL) {
    const int result = real_as<decltype(sigaction)>(real)(signal, next, last);
    if (result == 0)
      show(last);
    return result;
  }
  uint64_t mask;
  memcpy(&mask, &next->sa_mask, sizeof mask);
  const sys::KernelAction own = own_action(static_cast<unsigned>(next->sa_flags), mask);
  sys::KernelAction before;
  if (!sys::signal_action(signal, &own, &before)) {
    errno = EINVAL;
    return -1;
  }
  if (last != nullptr) {
    memset(&last->sa_mask, 0, sizeof last->sa_mask);
    memcpy(&last->sa_mask, &before.mask, sizeof before.mask);
    last->sa_handler = handler_of(before);
    last->sa_flags = static_cast<int>(before.flags & ~sys::kHasRestorer);
    last->sa_restorer = nullptr;
    show(last);
  }
  return 0;
}

// `flags`: what this kind of signal() has with each disposition.
Handler signal_body(void* real, int signal, Handler next, unsigned long flags, uint64_t mask) {
  if (!is_watched(signal) || next != SIG_DFL) {
    return shown(real_as<Handler(int, Handler)>(real)(signal, next));
  }
  const sys::KernelAction own = own_action(flags, mask);
  sys::KernelAction before;
  if (!sys::signal_action(signal, &own, &before)) {
    errno = EINVAL;
    return SIG_ERR;
  }
  return shown(handler_of(before));
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
  if (!is_watched(signal) || next != SIG_DFL)
    return shown(real_as<Handler(int, Handler)>(function)(signal, next));
  const Handler before = signal_body(nullptr, signal, SIG_DFL, 0, 0);
  const uint64_t unblocked = bit_of(signal);
  uint64_t mask = 0;
  sys::raw_syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, sys::pointer_arg(&unblocked), sys::pointer_arg(&mask),
                   sizeof mask);
  return (mask & unblocked) != 0 ? SIG_HOLD : before;
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
