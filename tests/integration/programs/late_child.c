// A child that is noticed late: it was made by a system call alone, and allocates only when its parent has
// long ended and other programs have been given the parent's place in the session. Prints "middle PID" and
// "late PID".
//
//   program        forks "middle", waits for its end, starts eight fillers
//   middle         makes "late" and ends
//   late           waits, allocates 50 blocks of 109 bytes
//   fillers        this program anew, with other arguments; they wait too
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "counting.h"

enum { kFillers = 8 };

static void wait_a_moment(void) {
  const struct timespec moment = {0, 300000000};
  nanosleep(&moment, NULL);
}

__attribute__((noinline)) static void allocate_late(void) {
  for (int i = 0; i < 50; i++) {
    void* volatile block = malloc(109);
    (void)block;
  }
}

int main(int argc, char** argv) {
  char byte;
  if (argc > 1 && strcmp(argv[1], "filler") == 0)
    return read(STDIN_FILENO, &byte, 1) != 0;
  int ends[2];
  if (pipe(ends) != 0)
    return 1;
  const pid_t middle = fork();
  if (middle == 0) {
    const pid_t late = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
    if (late == 0) {
      close(ends[1]);
      if (read(ends[0], &byte, 1) != 0)
        _exit(1);
      allocate_late();
      say("late %d\n", (int)getpid());
    }
    _exit(late < 0);
  }
  say("middle %d\n", (int)middle);
  int status = 0;
  if (waitpid(middle, &status, 0) != middle || status != 0)
    return 1;
  wait_a_moment(); // for the recorder to be done with it
  for (int i = 0; i < kFillers; i++) {
    if (fork() != 0)
      continue;
    close(ends[1]);
    dup2(ends[0], STDIN_FILENO);
    execl("/proc/self/exe", "filler", "filler", "with", "other", "arguments", NULL);
    _exit(1);
  }
  wait_a_moment();
  close(ends[1]);
  int failed = 0;
  for (int i = 0; i < kFillers; i++)
    failed |= wait(&status) < 0 || status != 0;
  wait_a_moment(); // for "late", which is nobody's child here
  return failed;
}
