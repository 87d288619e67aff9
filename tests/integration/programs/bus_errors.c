// What a program may do with SIGBUS. It prints what it sees of its own handlers, so that the output of a
// recorded run can be compared with that of a plain one.
//
//   query      the default, then what sigaction, signal, sigset and sysv_signal report after each other
//   own        a handler that leaves by siglongjmp, for a mapping of its own whose file was cut
//   once       such a handler with SA_RESETHAND: the second time is the end
//   stack      the handler runs on an alternate stack; without SA_ONSTACK it does not
//   default    a fault in its own mapping, by default: the end
//   kill       kill(getpid(), SIGBUS) by default: the end
//   handled    the same with a handler: what si_code and the mask are
//   ignored    the same, ignored
//   blocked    the same, blocked, looked at, then unblocked with a handler
//   raise, queue  other ways to send it to oneself
//   filtered   a fault by default, where the system calls that set and send signals are forbidden
//   many       forty handlers, each called
//   children   the dispositions that fork, vfork and exec children start with, and what a vfork child sets
//   image      what an executed program finds
//
// usage: bus_errors MODE
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "counting.h"

extern char** environ;

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

static sigjmp_buf jump;
static volatile sig_atomic_t calls, last_code, on_alternate;
static void* volatile last_address;
static char alternate[65536];

static void with_details(int signal, siginfo_t* info, void* context) {
  calls++;
  last_code = info->si_code;
  last_address = info->si_addr;
  char here;
  on_alternate = &here >= alternate && &here < alternate + sizeof alternate;
  if (signal != SIGBUS || context == NULL)
    _exit(95);
}

static void with_number(int signal) {
  if (signal != SIGBUS)
    _exit(95);
  calls++;
}

static void jumps_out(int signal, siginfo_t* info, void* context) {
  with_details(signal, info, context);
  siglongjmp(jump, 1);
}

static const char* name_of(const void* handler) {
  return handler == (void*)SIG_DFL         ? "default"
         : handler == (void*)SIG_IGN       ? "ignored"
         : handler == (void*)SIG_ERR       ? "error"
         : handler == (void*)SIG_HOLD      ? "hold"
         : handler == (void*)&with_details ? "with_details"
         : handler == (void*)&with_number  ? "with_number"
         : handler == (void*)&jumps_out    ? "jumps_out"
                                           : "unknown";
}

static void show(const char* when) {
  struct sigaction action;
  if (sigaction(SIGBUS, NULL, &action) != 0)
    _exit(96);
  // SA_RESTORER, which libc may set where it likes, says nothing.
  say("%s: %s flags %x mask of SIGUSR1 %d SIGBUS %d\n", when, name_of((void*)action.sa_handler),
      (unsigned)action.sa_flags & ~0x04000000u, sigismember(&action.sa_mask, SIGUSR1),
      sigismember(&action.sa_mask, SIGBUS));
}

static void set(void (*handler)(int, siginfo_t*, void*), int flags) {
  struct sigaction action = {0}, last;
  action.sa_sigaction = handler;
  action.sa_flags = flags | SA_SIGINFO;
  sigaddset(&action.sa_mask, SIGUSR1);
  if (sigaction(SIGBUS, &action, &last) != 0)
    _exit(96);
  say("before that: %s flags %x\n", name_of((void*)last.sa_handler), (unsigned)last.sa_flags & ~0x04000000u);
}

// A page of a file that is not there any more.
static volatile char* cut_page(void) {
  char path[] = "/tmp/bus_errors-XXXXXX";
  const int file = mkstemp(path);
  if (file < 0 || unlink(path) != 0 || ftruncate(file, 8192) != 0)
    _exit(97);
  volatile char* const page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (page == MAP_FAILED || ftruncate(file, 0) != 0)
    _exit(97);
  close(file);
  return page + 4096;
}

static void fault(int times) {
  volatile char* const page = cut_page();
  for (volatile int i = 0; i < times; i++) {
    if (sigsetjmp(jump, 1) == 0)
      *page = 1;
    counted_free(counted_malloc(100));
    say("call %d code %d address right %d alternate %d\n", (int)calls, (int)last_code, last_address == page,
        (int)on_alternate);
  }
}

static int is_blocked(void) {
  sigset_t now;
  sigprocmask(SIG_BLOCK, NULL, &now);
  return sigismember(&now, SIGBUS);
}

static void query(void) {
  show("at first");
  set(with_details, SA_RESTART | SA_NODEFER);
  show("sigaction");
  say("signal returns %s\n", name_of((void*)signal(SIGBUS, with_number)));
  show("signal");
  say("signal returns %s\n", name_of((void*)signal(SIGBUS, SIG_IGN)));
  show("signal ignored");
  say("sigset returns %s\n", name_of((void*)sigset(SIGBUS, with_number)));
  show("sigset");
  say("sigset hold returns %s blocked %d\n", name_of((void*)sigset(SIGBUS, SIG_HOLD)), is_blocked());
  say("sigset returns %s blocked %d\n", name_of((void*)sigset(SIGBUS, with_number)), is_blocked());
  say("sysv_signal returns %s\n", name_of((void*)sysv_signal(SIGBUS, with_number)));
  show("sysv_signal");
  raise(SIGBUS);
  show("after its one call");
  set(jumps_out, SA_ONSTACK);
  struct sigaction same, last;
  if (sigaction(SIGBUS, NULL, &same) != 0 || sigaction(SIGBUS, &same, &last) != 0 ||
      last.sa_sigaction != same.sa_sigaction || last.sa_flags != same.sa_flags)
    _exit(96);
  show("set to what was read");
  siginterrupt(SIGBUS, 0);
  show("siginterrupt");
  say("signal returns %s\n", name_of((void*)signal(SIGBUS, SIG_DFL)));
  say("default again: %s\n", name_of((void*)signal(SIGBUS, SIG_DFL)));
  say("an error: %s %d\n", name_of((void*)signal(SIGBUS, SIG_ERR)), errno == EINVAL);
}

#define FORTY(X)                                                                                             \
  X(0)                                                                                                       \
  X(1)                                                                                                       \
  X(2)                                                                                                       \
  X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15) X(16) X(17) X(18) X(19) X(20) X(21) \
      X(22) X(23) X(24) X(25) X(26) X(27) X(28) X(29) X(30) X(31) X(32) X(33) X(34) X(35) X(36) X(37) X(38)  \
          X(39)
static volatile int which;
#define HANDLER(n)                                                                                           \
  static void handler_##n(int signal) {                                                                      \
    which = n + 0 * signal;                                                                                  \
  }
FORTY(HANDLER)
#define NAME(n) handler_##n,
static void (*const handlers[])(int) = {FORTY(NAME)};

static void many(void) {
  for (int i = 0; i < 40; i++) {
    void (*const before)(int) = signal(SIGBUS, handlers[i]);
    if (before != (i == 0 ? SIG_DFL : handlers[i - 1]))
      say("before %d another handler is told\n", i);
    raise(SIGBUS);
    if (which != i)
      say("handler %d was called instead of %d\n", which, i);
  }
  say("last %d\n", which);
}

static void forbid_signals(void) {
  struct sock_filter rules[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_sigaction, 3, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_tgsigqueueinfo, 2, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_tgkill, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
  };
  struct sock_fprog program = {sizeof rules / sizeof *rules, rules};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
    _exit(77);
}

static int wait_for(pid_t child) {
  int status = 0;
  if (waitpid(child, &status, 0) != child)
    return -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int spawned(char* self) {
  char* arguments[] = {self, "image", NULL};
  posix_spawnattr_t attributes;
  sigset_t some;
  posix_spawnattr_init(&attributes);
  sigemptyset(&some);
  sigaddset(&some, SIGUSR2);
  posix_spawnattr_setsigdefault(&attributes, &some);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
  pid_t child;
  return posix_spawn(&child, self, NULL, &attributes, arguments, environ) == 0 ? wait_for(child) : -1;
}

static void children(char* self) {
  char* arguments[] = {self, "image", NULL};
  set(with_details, 0);
  pid_t child = fork();
  if (child == 0) {
    show("in a forked child");
    raise(SIGBUS);
    _exit(calls == 1 ? 0 : 1);
  }
  say("forked child ended with %d\n", wait_for(child));
  child = vfork();
  if (child == 0) {
    struct sigaction action = {0};
    action.sa_handler = with_number;
    sigaction(SIGBUS, &action, NULL);
    signal(SIGBUS, SIG_DFL);
    execve(self, arguments, environ);
    _exit(80);
  }
  say("vfork child ended with %d\n", wait_for(child));
  show("after a vfork child set others");
  child = vfork();
  if (child == 0) {
    signal(SIGBUS, SIG_IGN);
    execve(self, arguments, environ);
    _exit(80);
  }
  say("vfork child ended with %d\n", wait_for(child));
  raise(SIGBUS);
  say("calls %d\n", (int)calls);
  say("spawned child ended with %d\n", spawned(self));
  signal(SIGBUS, SIG_DFL);
  say("spawned child ended with %d\n", spawned(self));
  signal(SIGBUS, SIG_IGN);
  say("spawned child ended with %d\n", spawned(self));
  signal(SIGBUS, SIG_DFL);
  child = fork();
  if (child == 0) {
    *cut_page() = 1;
    _exit(1);
  }
  say("forked child with a fault ended with %d\n", wait_for(child));
  child = vfork();
  if (child == 0) {
    raise(SIGBUS);
    _exit(1);
  }
  say("vfork child that raised it ended with %d\n", wait_for(child));
  show("at last");
}

int main(int argc, char** argv) {
  const char* const mode = argc == 2 ? argv[1] : "";
  stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
  if (strcmp(mode, "image") == 0) {
    counted_free(counted_malloc(10));
    show("image");
    return 0;
  }
  counted_free(counted_malloc(10));
  if (strcmp(mode, "query") == 0) {
    query();
  } else if (strcmp(mode, "own") == 0) {
    set(jumps_out, 0);
    fault(3);
  } else if (strcmp(mode, "once") == 0) {
    set(jumps_out, SA_RESETHAND);
    fault(1);
    show("after it");
    fault(1);
  } else if (strcmp(mode, "stack") == 0) {
    sigaltstack(&stack, NULL);
    set(jumps_out, SA_ONSTACK);
    fault(2);
    set(jumps_out, 0);
    fault(1);
  } else if (strcmp(mode, "default") == 0) {
    *cut_page() = 1;
  } else if (strcmp(mode, "filtered") == 0) {
    volatile char* const page = cut_page();
    forbid_signals();
    *page = 1;
  } else if (strcmp(mode, "kill") == 0) {
    kill(getpid(), SIGBUS);
  } else if (strcmp(mode, "raise") == 0) {
    raise(SIGBUS);
  } else if (strcmp(mode, "queue") == 0) {
    sigqueue(getpid(), SIGBUS, (union sigval){.sival_int = 5});
  } else if (strcmp(mode, "handled") == 0) {
    set(with_details, 0);
    kill(getpid(), SIGBUS);
    sigqueue(getpid(), SIGBUS, (union sigval){.sival_int = 5});
    say("calls %d code %d\n", (int)calls, (int)last_code);
  } else if (strcmp(mode, "ignored") == 0) {
    signal(SIGBUS, SIG_IGN);
    kill(getpid(), SIGBUS);
    show("ignored");
  } else if (strcmp(mode, "blocked") == 0) {
    sigset_t bus, pending;
    sigemptyset(&bus);
    sigaddset(&bus, SIGBUS);
    sigprocmask(SIG_BLOCK, &bus, NULL);
    kill(getpid(), SIGBUS);
    sigpending(&pending);
    say("pending %d\n", sigismember(&pending, SIGBUS));
    set(with_details, 0);
    sigprocmask(SIG_UNBLOCK, &bus, NULL);
    say("calls %d code %d\n", (int)calls, (int)last_code);
    sigprocmask(SIG_BLOCK, &bus, NULL);
    *cut_page() = 1; // which blocking does not keep away
  } else if (strcmp(mode, "many") == 0) {
    many();
  } else if (strcmp(mode, "children") == 0) {
    children(argv[0]);
  } else {
    return 2;
  }
  say("reached its end\n");
  return 0;
}
