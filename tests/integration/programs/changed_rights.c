// Programs that change what they are and what they may do: each mode changes it, allocates before and after,
// and tells what it found.
//
//   userns      unshare(CLONE_NEWUSER), which only a single-threaded process may
//   forbidden   a seccomp filter that kills at any clone, fork, open or socket call, set after start; then
//   allocates so
//               much that the session file must grow
//   chroot      chroot to DIRECTORY, then forks, and executes a program there that is statically linked
//   drop        gives up root for uid 12345, forks, and executes itself
//   borrowers   gives up root, has a vfork and two posix_spawn children execute itself, and one that finds
//   nothing
//               where it looks first
//   inside      a vfork child gives up root, executes itself
//   filtered    a vfork child forbids itself to ask who it is, and executes itself
//
// usage: changed_rights MODE BLOCKS [DIRECTORY]   prints: MODE allocations frees bytes
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <spawn.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "counting.h"

extern char** environ;

__attribute__((noinline)) static void allocate(int blocks) {
  for (int i = 0; i < blocks; i++) {
    void* const block = counted_malloc(40 + (size_t)(i % 64));
    if (i % 2)
      counted_free(block);
  }
}

enum Before { kNothing, kGiveUpRoot, kForbidQuestions };

// What the child of vfork may do is little; these are bare system calls.
static pid_t execute_by_vfork(char* const* programs, enum Before before) {
  struct sock_filter rules[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_geteuid, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
  };
  struct sock_fprog filter = {sizeof rules / sizeof *rules, rules};
  const pid_t child = vfork();
  if (child != 0)
    return child;
  if (before == kGiveUpRoot && (syscall(SYS_setgid, 12345) != 0 || syscall(SYS_setuid, 12345) != 0))
    _exit(77);
  if (before == kForbidQuestions && (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
                                     prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0))
    _exit(77);
  for (int i = 0; programs[i] != NULL; i++) {
    char* arguments[] = {programs[i], (char*)"image", NULL};
    execve(programs[i], arguments, environ);
  }
  _exit(80);
}

static int forbid_new_processes_and_files(void) {
  static const int forbidden[] = {SYS_clone,  SYS_clone3,    SYS_fork,    SYS_vfork,    SYS_open,
                                  SYS_openat, SYS_creat,     SYS_openat2, SYS_socket,   SYS_memfd_create,
                                  SYS_execve, SYS_execveat,  SYS_ptrace,  SYS_readlink, SYS_readlinkat,
                                  SYS_access, SYS_faccessat, SYS_kill};
  enum { kCount = sizeof forbidden / sizeof *forbidden };
  struct sock_filter rules[kCount + 3];
  rules[0] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
  for (int i = 0; i < kCount; i++)
    rules[1 + i] =
        (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)forbidden[i], kCount - i, 0);
  rules[1 + kCount] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  rules[2 + kCount] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
  struct sock_fprog program = {kCount + 3, rules};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

static int wait_for(pid_t child) {
  int status = 0;
  if (waitpid(child, &status, 0) != child)
    return -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// A child that allocates, and one that executes `program`.
static void have_children(int blocks, char* program, char* argument) {
  pid_t child = fork();
  if (child == 0) {
    allocate(blocks / 10);
    _exit(5);
  }
  say("forked child ended with %d\n", wait_for(child));
  char* arguments[] = {program, argument, NULL};
  child = fork();
  if (child == 0) {
    execve(program, arguments, environ);
    _exit(errno == ENOENT ? 80 : 81);
  }
  say("executed child ended with %d\n", wait_for(child));
}

int main(int argc, char** argv) {
  if (argc < 3)
    return argc == 2 && strcmp(argv[1], "image") == 0 ? 6 : 2;
  const int blocks = atoi(argv[2]);
  char self[4096];
  const ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
  self[length < 0 ? 0 : length] = 0;
  char image[] = "image";
  allocate(blocks);
  if (strcmp(argv[1], "userns") == 0) {
    if (unshare(CLONE_NEWUSER) != 0) {
      say("unshare: %s\n", strerrorname_np(errno));
      return errno == EPERM || errno == ENOSPC ? 77 : 1;
    }
    allocate(blocks);
    have_children(blocks, self, image);
  } else if (strcmp(argv[1], "forbidden") == 0) {
    if (forbid_new_processes_and_files() != 0)
      return 3;
  } else if (strcmp(argv[1], "chroot") == 0) {
    if (chroot(argv[3]) != 0 || chdir("/") != 0)
      return 77;
    char program[] = "/static", greeting[] = "hello";
    allocate(blocks);
    have_children(blocks, program, greeting);
  } else if (strcmp(argv[1], "drop") == 0) {
    if (setgid(12345) != 0 || setuid(12345) != 0)
      return 77;
    allocate(blocks);
    have_children(blocks, self, image);
  } else if (strcmp(argv[1], "borrowers") == 0) {
    if (setgid(12345) != 0 || setuid(12345) != 0)
      return 77;
    allocate(blocks);
    char nowhere[] = "/nowhere/image";
    char* programs[] = {nowhere, self, NULL};
    say("vfork child ended with %d\n", wait_for(execute_by_vfork(programs, kNothing)));
    char* none[] = {nowhere, NULL};
    say("vfork child ended with %d\n", wait_for(execute_by_vfork(none, kNothing)));
    char* arguments[] = {self, image, NULL};
    pid_t child;
    for (int i = 0; i < 2; i++) {
      const int error = posix_spawn(&child, self, NULL, NULL, arguments, environ);
      say("spawned child ended with %d\n", error != 0 ? error : wait_for(child));
    }
    say("spawn of nothing: %d\n", posix_spawn(&child, nowhere, NULL, NULL, arguments, environ) == ENOENT);
  } else if (strcmp(argv[1], "inside") == 0 || strcmp(argv[1], "filtered") == 0) {
    char* programs[] = {self, NULL};
    const enum Before before = strcmp(argv[1], "inside") == 0 ? kGiveUpRoot : kForbidQuestions;
    say("vfork child ended with %d\n", wait_for(execute_by_vfork(programs, before)));
  }
  allocate(blocks);
  print_counts(argv[1]);
  return 0;
}
