// Dispositions of signals as the kernel keeps them, without libc: libc's sigaction is a hook of ours, and
// other hooks may stand behind it. Every port writes hl_signal_return for its architecture: what a handler
// returns through, where libc's own function for that cannot be had.
#pragma once

#include <signal.h>
#include <stdint.h>

#include "platform/syscalls.h"

extern "C" void hl_signal_return();

namespace hl::sys {

// The kernel's struct sigaction of x86_64.
struct KernelAction {
  const void* handler = nullptr; // or SIG_DFL (nullptr), SIG_IGN
  unsigned long flags = 0;
  void (*restorer)() = nullptr;
  uint64_t mask = 0; // bit N-1: signal N
};
static_assert(sizeof(KernelAction) == 32);
inline constexpr unsigned long kHasRestorer = 0x04000000; // SA_RESTORER

// Each may be nullptr. False: there is no such signal, or its disposition cannot be changed.
inline bool signal_action(int signal, const KernelAction* next, KernelAction* last) {
  return raw_syscall(SYS_rt_sigaction, signal, pointer_arg(next), pointer_arg(last), sizeof(uint64_t)) == 0;
}

// To the calling thread, as `info` says it came: pending until it is not blocked any more.
inline void signal_own_thread(int signal, const siginfo_t& info) {
  const long process = raw_syscall(SYS_getpid), thread = raw_syscall(SYS_gettid);
  if (failed(raw_syscall(SYS_rt_tgsigqueueinfo, process, thread, signal, pointer_arg(&info)))) {
    raw_syscall(SYS_tgkill, process, thread, signal);
  }
}

} // namespace hl::sys
