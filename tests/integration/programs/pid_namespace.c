// The next child is pid 1 of a new pid namespace: a helper process started in between would have been that,
// and its end would kill every later child. Prints each child's pid and how it ended. Needs the right to
// unshare.
#define _GNU_SOURCE
#include <sched.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "counting.h"

static void start_child(int number) {
  const pid_t child = fork();
  if (child < 0) {
    say("child %d could not start\n", number);
    return;
  }
  if (child == 0) {
    for (int i = 0; i < 500; i++)
      counted_free(counted_malloc(64));
    say("child %d has pid %d\n", number, (int)getpid());
    if (number == 0)
      for (int i = 1; i < 3; i++)
        start_child(i);
    const struct timespec delay = {0, 300000000};
    nanosleep(&delay, NULL);
    _exit(number);
  }
  int status = 0;
  waitpid(child, &status, 0);
  say("child %d ended with %s %d\n", number, WIFSIGNALED(status) ? "signal" : "status",
      WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

int main(void) {
  if (unshare(CLONE_NEWPID) != 0) {
    say("no right to unshare\n");
    return 77;
  }
  start_child(0);
  return 0;
}
