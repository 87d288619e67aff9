// The processor's time stamp counter becomes forbidden at run time: a shim that goes on reading it is killed.
// Modes:
//   tsc      prctl(PR_SET_TSC, PR_TSC_SIGSEGV), then two threads allocate
//   strict   seccomp's strict mode: no system call but read, write and exit, and no counter on some kernels
//   filter   a seccomp filter that kills on every call that this program's plain code does not make (so: any
//   of the shim's)
// Counts start before and go on after. Linked with safe_allocator: libc's own needs brk.
//
// usage: clock_forbidden MODE EVENTS   prints: MODE allocations frees bytes
#define _GNU_SOURCE
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "counting.h"

static unsigned long events;

__attribute__((noinline)) static void* allocate_afterwards(void* argument) {
  for (unsigned long i = 0; i < events / 2; i++)
    counted_free(counted_malloc(100));
  return argument;
}

__attribute__((noinline)) static void allocate_before(void) {
  for (int i = 0; i < 100; i++)
    counted_free(counted_malloc(50));
}

static int install_filter(void) {
  struct sock_filter rules[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 3, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit, 2, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {sizeof rules / sizeof *rules, rules};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

int main(int argc, char** argv) {
  if (argc < 3)
    return 2;
  events = strtoul(argv[2], NULL, 10);
  allocate_before();
  if (strcmp(argv[1], "tsc") == 0) {
    if (prctl(PR_SET_TSC, PR_TSC_SIGSEGV) != 0)
      return 3;
    pthread_t thread;
    if (pthread_create(&thread, NULL, allocate_afterwards, NULL) != 0)
      return 4;
    allocate_afterwards(NULL);
    pthread_join(thread, NULL);
    print_counts(argv[1]);
    return 0;
  }
  if (strcmp(argv[1], "strict") == 0 ? prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) : install_filter())
    return 3;
  allocate_afterwards(NULL);
  print_counts(argv[1]);
  syscall(SYS_exit, 0); // exit_group is forbidden in strict mode
}
