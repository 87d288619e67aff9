// A process without children asks for them in every way there is. A recorder that was its child, or a SIGCHLD
// from one, would show. With the argument "subreaper" it first becomes one, so that orphans of its tree would
// come to it. Prints one line per way; nothing may be there.
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "counting.h"

static volatile sig_atomic_t child_signals;

static void on_child(int number) {
  (void)number;
  child_signals++;
}

static void report(const char* what, long result) {
  say("%s: %s\n", what, result < 0 ? strerrorname_np(errno) : "a child");
}

int main(int argc, char** argv) {
  signal(SIGCHLD, on_child);
  if (argc > 1 && strcmp(argv[1], "subreaper") == 0)
    prctl(PR_SET_CHILD_SUBREAPER, 1);
  const struct timespec delay = {0, 200000000};
  nanosleep(&delay, NULL); // time for a helper to start, exec and exit
  siginfo_t information;
  report("wait", wait(NULL));
  report("waitpid WNOHANG", waitpid(-1, NULL, WNOHANG));
  report("waitid", waitid(P_ALL, 0, &information, WEXITED | WNOHANG));
  report("waitpid process group", waitpid(0, NULL, WNOHANG));
  if (argc > 2) // __WALL would show children with another exit signal, too
    report("waitpid __WALL", waitpid(-1, NULL, WNOHANG | __WALL));
  say("SIGCHLD: %d\n", (int)child_signals);
  return 0;
}
