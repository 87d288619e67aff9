// Runs a command under a seccomp filter that answers some system calls with an error, as container runtimes
// do: the command and all below it are refused, and nothing is killed.
//
// usage: refusing NAME=ERRNO... -- COMMAND [ARGUMENT...]   ERRNO: EPERM or ENOSYS
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static const struct {
  const char* name;
  int number;
} kCalls[] = {
    {"clone3", SYS_clone3},
    {"close_range", SYS_close_range},
    {"fallocate", SYS_fallocate},
    {"getrandom", SYS_getrandom},
    {"kcmp", SYS_kcmp},
    {"membarrier", SYS_membarrier},
    {"memfd_create", SYS_memfd_create},
    {"perf_event_open", SYS_perf_event_open},
    {"personality", SYS_personality},
    {"pidfd_getfd", SYS_pidfd_getfd},
    {"pidfd_open", SYS_pidfd_open},
    {"process_vm_readv", SYS_process_vm_readv},
    {"process_vm_writev", SYS_process_vm_writev},
    {"ptrace", SYS_ptrace},
    {"rseq", SYS_rseq},
    {"sched_setaffinity", SYS_sched_setaffinity},
    {"sched_setattr", SYS_sched_setattr},
    {"setpriority", SYS_setpriority},
    {"statx", SYS_statx},
    {"userfaultfd", SYS_userfaultfd},
};
enum { kMostCalls = sizeof kCalls / sizeof *kCalls };

int main(int argc, char** argv) {
  struct sock_filter rules[2 * kMostCalls + 2];
  unsigned short count = 0;
  rules[count++] =
      (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)offsetof(struct seccomp_data, nr));
  int i = 1;
  for (; i < argc && strcmp(argv[i], "--") != 0; i++) {
    const char* const equals = strchr(argv[i], '=');
    int number = -1;
    for (int call = 0; equals && call < kMostCalls; call++)
      if (strlen(kCalls[call].name) == (size_t)(equals - argv[i]) &&
          memcmp(kCalls[call].name, argv[i], (size_t)(equals - argv[i])) == 0)
        number = kCalls[call].number;
    if (number < 0 || count + 3 > (int)(sizeof rules / sizeof *rules)) {
      fprintf(stderr, "refusing: %s is not known\n", argv[i]);
      return 2;
    }
    const int error = strcmp(equals + 1, "ENOSYS") == 0 ? ENOSYS : EPERM;
    rules[count++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number, 0, 1);
    rules[count++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error);
  }
  if (i + 1 >= argc)
    return 2;
  rules[count++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  struct sock_fprog program = {count, rules};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
    perror("refusing: seccomp");
    return 77;
  }
  execvp(argv[i + 1], argv + i + 1);
  perror(argv[i + 1]);
  return 127;
}
