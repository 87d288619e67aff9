// Everything by which a program looks for processes of its own: children in every way of waiting, signals at
// a child's end, process groups, sessions. It has children of its own here; a recorder's process must never
// be among them.
//
// usage: own_processes [subreaper]
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#include "counting.h"

static volatile sig_atomic_t child_signals, user_signals;
static void on_child(int number) {
  (void)number;
  child_signals++;
}
static void on_user(int number) {
  (void)number;
  user_signals++;
}

static void report(const char* what, pid_t found, const pid_t* children, int count) {
  for (int i = 0; i < count; i++)
    if (found == children[i]) {
      say("%s: child %d\n", what, i);
      return;
    }
  say("%s: %s\n", what, found < 0 ? strerrorname_np(errno) : found == 0 ? "none" : "a stranger");
}

static pid_t start_child(int status, int own_group) {
  const pid_t child = fork();
  if (child == 0) {
    if (own_group)
      setpgid(0, 0);
    free(malloc(100));
    _exit(status);
  }
  if (own_group)
    setpgid(child, child);
  return child;
}

int main(int argc, char** argv) {
  struct sigaction action = {.sa_handler = on_child};
  sigaction(SIGCHLD, &action, NULL);
  action.sa_handler = on_user;
  sigaction(SIGUSR1, &action, NULL);
  if (argc > 1 && strcmp(argv[1], "subreaper") == 0)
    prctl(PR_SET_CHILD_SUBREAPER, 1);
  pid_t children[8];
  // One after the other, so that the order of their ends is known.
  for (int i = 0; i < 3; i++) {
    children[i] = start_child(i, 0);
    report("wait(-1)", waitpid(-1, NULL, 0), children, 3);
  }
  report("wait(-1)", waitpid(-1, NULL, 0), children, 3);
  children[3] = start_child(3, 1);
  siginfo_t information;
  memset(&information, 0, sizeof information);
  const int waited = waitid(P_PGID, (id_t)children[3], &information, WEXITED);
  report("waitid group", waited == 0 ? information.si_pid : -1, children, 4);
  report("waitid all",
         waitid(P_ALL, 0, &information, WEXITED | WSTOPPED | WCONTINUED | WNOHANG) == 0 ? 0 : -1, children,
         4);
  say("SIGCHLD: %d\n", (int)child_signals);

  // A child that leaves an orphan: it comes to a subreaper, and to nobody else here.
  int channel[2];
  if (pipe(channel) != 0)
    return 1;
  children[4] = fork();
  if (children[4] == 0) {
    const pid_t parent = getpid(), orphan = fork();
    if (orphan == 0) {
      free(malloc(100));
      close(channel[0]);
      const struct timespec delay = {0, 10000000};
      while (getppid() == parent)
        nanosleep(&delay, NULL);
      _exit(9);
    }
    _exit(write(channel[1], &orphan, sizeof orphan) != sizeof orphan);
  }
  close(channel[1]);
  report("wait for the orphan's parent", waitpid(children[4], NULL, 0), children, 5);
  if (read(channel[0], &children[5], sizeof(pid_t)) != sizeof(pid_t))
    return 2;
  char byte;
  if (read(channel[0], &byte, 1) != 0) // its end
    return 3;
  report("wait for orphans", waitpid(-1, NULL, 0), children, 6);

  // A session and a group of one's own: nobody else is in it.
  children[6] = fork();
  if (children[6] == 0) {
    const int led = setsid() == getpid() && getpgrp() == getpid();
    kill(0, SIGUSR1);
    killpg(getpgrp(), SIGUSR1);
    say("own session %d, signals to the group %d\n", led, (int)user_signals);
    _exit(kill(-getpid(), 0));
  }
  int status = -1;
  report("wait for the session's leader", waitpid(children[6], &status, 0), children, 7);
  say("it ended with %x\n", (unsigned)status);
  // To the whole group that we are in, what started us included: it is no SIGUSR1 more for anybody else of
  // ours.
  kill(0, SIGUSR1);
  say("signals to our group %d\n", (int)user_signals);
  signal(SIGUSR1, SIG_IGN);
  print_counts("counts");
  return 0;
}
