// See spawn.h.
#include "platform/spawn.h"

#include <linux/sched.h>
#include <signal.h>
#include <stdint.h>

#include "platform/syscalls.h"

namespace hl {

namespace {

struct Request {
  const char* program;
  char* const* argv;
  char* const* environment;
  int keep_fd;
};

constexpr size_t kStackBytes = 32 * 1024;
alignas(64) char g_stacks[2][kStackBytes]; // one for each generation; used once, at attach

// clone with a new stack; the child calls run(request) on it and never returns.
long clone_onto(char* stack_top, void (*run)(const Request*), const Request* request) {
  constexpr long kFlags = CLONE_VM | CLONE_VFORK | CLONE_UNTRACED; // exit signal 0
  long result;
  register long r10 asm("r10") = 0;
  register long r8 asm("r8") = 0;
  register const void* r12 asm("r12") = reinterpret_cast<const void*>(run);
  register const void* r13 asm("r13") = request;
  asm volatile("syscall\n\t"
               "test %%rax, %%rax\n\t"
               "jnz 1f\n\t"
               "xor %%ebp, %%ebp\n\t"
               "mov %%r13, %%rdi\n\t"
               "call *%%r12\n\t"
               "hlt\n"
               "1:"
               : "=a"(result)
               : "a"(SYS_clone), "D"(kFlags), "S"(stack_top), "d"(0), "r"(r10), "r"(r8), "r"(r12), "r"(r13)
               : "rcx", "r11", "memory");
  return result;
}

void run_program(const Request* r) {
  sys::raw_syscall(SYS_fcntl, r->keep_fd, F_SETFD, 0);
  sys::raw_syscall(SYS_execve, sys::pointer_arg(r->program), sys::pointer_arg(r->argv),
                   sys::pointer_arg(r->environment));
  sys::raw_syscall(SYS_exit, 127);
}

void run_intermediate(const Request* r) {
  clone_onto(g_stacks[1] + kStackBytes, run_program, r);
  sys::raw_syscall(SYS_exit, 0);
}

} // namespace

bool spawn_unnoticed(const char* program, char* const argv[], char* const environment[], int keep_fd) {
  // A handler of the application must not run in a child that shares its memory.
  uint64_t all = ~uint64_t{0}, saved = 0;
  sys::raw_syscall(SYS_rt_sigprocmask, SIG_SETMASK, sys::pointer_arg(&all), sys::pointer_arg(&saved), 8);
  const Request request{program, argv, environment, keep_fd};
  const long intermediate = clone_onto(g_stacks[0] + kStackBytes, run_intermediate, &request);
  if (!sys::failed(intermediate)) {
    int status = 0;
    constexpr long kWaitClone = 0x80000000; // __WCLONE
    sys::raw_syscall(SYS_wait4, intermediate, sys::pointer_arg(&status), kWaitClone, 0);
  }
  sys::raw_syscall(SYS_rt_sigprocmask, SIG_SETMASK, sys::pointer_arg(&saved), 0, 8);
  return !sys::failed(intermediate);
}

} // namespace hl
