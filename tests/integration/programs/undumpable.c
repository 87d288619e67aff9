// What the kernel lets nobody but the administrator look at: a program that is not dumpable, or that
// has given up its user.
//   hidden          1 000 allocations, idle for longer than a dead thread's block is left alone, 1 000
//                   more, and 1 000 of each of four children
//   children N      N children that leak 7 blocks of 70 bytes each and end at the same time
//   user            becomes user 65534, leaks the same, and ends
//   ends            children of user 65534 that exit with 0 and 3 and are killed by SIGTERM, and are not
//                   asked for it (wait) for half a second each
//   root DIRECTORY  makes that its root directory, leaks the same, and ends
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

__attribute__((noinline)) static void leak(void) {
  for (int i = 0; i < 7; i++)
    *(volatile char*)malloc(70) = 1;
}

static void churn(size_t bytes) {
  for (int i = 0; i < 1000; i++) {
    volatile char* const block = malloc(bytes);
    *block = 1;
    free((void*)block);
  }
}

static void hidden(void) {
  churn(100);
  sleep(4);
  for (int child = 0; child < 4; child++)
    if (fork() == 0) {
      churn(102);
      exit(0);
    }
  churn(101);
  while (wait(NULL) > 0) {
  }
}

static void children(int count) {
  int go[2];
  if (pipe(go) != 0)
    exit(1);
  for (int child = 0; child < count; child++)
    if (fork() == 0) {
      char all_are_there;
      close(go[1]);
      leak();
      if (read(go[0], &all_are_there, 1) != 0)
        exit(1);
      exit(0);
    }
  close(go[1]);
  while (wait(NULL) > 0) {
  }
}

static void ends(void) {
  for (int how = 0; how < 3; how++) {
    const pid_t child = fork();
    if (child == 0) {
      if (setgid(65534) != 0 || setuid(65534) != 0)
        _exit(77);
      leak();
      if (how == 2)
        kill(getpid(), SIGTERM);
      _exit(how == 1 ? 3 : 0);
    }
    usleep(500000);
    waitpid(child, NULL, 0);
  }
}

int main(int argc, char** argv) {
  const char* const what = argc > 1 ? argv[1] : "";
  prctl(PR_SET_DUMPABLE, 0);
  if (strcmp(what, "hidden") == 0) {
    hidden();
  } else if (strcmp(what, "children") == 0 && argc > 2) {
    children(atoi(argv[2]));
  } else if (strcmp(what, "ends") == 0) {
    ends();
  } else if (strcmp(what, "user") == 0) {
    if (setgid(65534) != 0 || setuid(65534) != 0)
      return 77;
    leak();
  } else if (strcmp(what, "root") == 0 && argc > 2) {
    if (chroot(argv[2]) != 0)
      return 77;
    leak();
  } else {
    return 2;
  }
  puts("done");
  return 0;
}
