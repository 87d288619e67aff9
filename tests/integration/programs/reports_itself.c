// Says what a program can see of its surroundings: arguments, open descriptors, environment that is ours,
// signal mask and dispositions, process group against terminal, parent. Run alone and recorded, it must print
// the same, but for what the recording needs and the test filters. It ends as its first argument says: "exit
// N", "signal N", or "stdin" (copies standard input to standard output).
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

int main(int argc, char** argv) {
  if (argc > 1 && strcmp(argv[1], "stdin") == 0) {
    char buffer[4096];
    ssize_t bytes;
    while ((bytes = read(0, buffer, sizeof buffer)) > 0)
      if (write(1, buffer, (size_t)bytes) != bytes)
        return 1;
    return 0;
  }
  for (int i = 1; i < argc; i++)
    printf("argument %d: <%s>\n", i, argv[i]);
  for (int signal_number = 1; signal_number < 32; signal_number++) {
    struct sigaction action;
    if (sigaction(signal_number, NULL, &action) == 0 && action.sa_handler != SIG_DFL)
      printf("signal %d is %s\n", signal_number, action.sa_handler == SIG_IGN ? "ignored" : "handled");
  }
  sigset_t blocked;
  sigprocmask(SIG_SETMASK, NULL, &blocked);
  for (int signal_number = 1; signal_number < 32; signal_number++)
    if (sigismember(&blocked, signal_number))
      printf("signal %d is blocked\n", signal_number);
  for (int descriptor = 0; descriptor < 3; descriptor++)
    printf("descriptor %d is %s\n", descriptor, isatty(descriptor) ? "a terminal" : "not a terminal");
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  printf("descriptors up to %ld, niceness %d\n", (long)limit.rlim_cur, getpriority(PRIO_PROCESS, 0));
  fflush(stdout);
  if (argc > 2 && strcmp(argv[1], "exit") == 0)
    return atoi(argv[2]);
  if (argc > 2 && strcmp(argv[1], "signal") == 0) {
    raise(atoi(argv[2]));
    pause();
  }
  return 0;
}
