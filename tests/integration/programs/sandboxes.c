// As browsers make their sandboxes: a process without /proc, in an empty root, that cannot be dumped, and
// children of it with clone() alone; each is pid 1 of a namespace of its own. They allocate, are silent for a
// while, and allocate again, while the program outside goes on. Takes the directory that becomes their root.
// Prints what each has allocated. Needs the right to make user namespaces.
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "counting.h"

enum { kSandboxes = 6, kRounds = 2000 };

static void pause_ms(long ms) {
  const struct timespec delay = {ms / 1000, ms % 1000 * 1000000};
  nanosleep(&delay, NULL);
}

static pid_t clone_into(int namespaces) {
  return (pid_t)syscall(SYS_clone, namespaces | SIGCHLD, 0, 0, 0, 0);
}

static void allocate(int number) {
  void* kept[100] = {0};
  for (int i = 0; i < kRounds; i++) {
    counted_free(kept[i % 100]);
    kept[i % 100] = counted_malloc((size_t)(16 + i % 500 + number));
  }
  for (int i = 0; i < 100; i++)
    counted_free(kept[i]);
}

static int be_sandboxed(int number) {
  if (getpid() != 1)
    return 91;
  allocate(number);
  pause_ms(3500);
  allocate(number);
  print_counts("sandbox");
  if (number == 0)
    pause(); // until it is killed
  return 0;
}

static int be_zygote(const char* root) {
  if (chroot(root) != 0 || chdir("/") != 0)
    return 92;
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  pid_t children[kSandboxes];
  for (int number = 0; number < kSandboxes; number++) {
    children[number] = clone_into(CLONE_NEWPID);
    if (children[number] < 0)
      return 94;
    if (children[number] == 0)
      _exit(be_sandboxed(number));
    pause_ms(50);
  }
  int status, bad = 0;
  for (int number = 1; number < kSandboxes; number++)
    bad |= waitpid(children[number], &status, 0) != children[number] || status != 0;
  kill(children[0], SIGKILL);
  bad |= waitpid(children[0], &status, 0) != children[0] || !WIFSIGNALED(status);
  return bad ? 93 : 0;
}

int main(int count, char** words) {
  if (count != 2)
    return 2;
  const pid_t zygote = clone_into(CLONE_NEWUSER | CLONE_NEWPID);
  if (zygote < 0) {
    say("no right to make namespaces\n");
    return 77;
  }
  if (zygote == 0)
    _exit(be_zygote(words[1]));
  int status = 0;
  while (waitpid(zygote, &status, WNOHANG) == 0) {
    allocate(0);
    pause_ms(5);
  }
  say("zygote ended with %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : -1);
  print_counts("outside");
  return 0;
}
