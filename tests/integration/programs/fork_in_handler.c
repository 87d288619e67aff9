// fork() from a signal handler, wherever the handler finds the main loop: also inside the recording of an
// event, after that has checked whether it is in a fork child. The child allocates three blocks of 1234 bytes
// and returns into the interrupted code for a while; it must not write into what is the parent's. Linked with
// safe_allocator.
//
// usage: fork_in_handler FORKS   prints: parent allocations frees bytes
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "counting.h"

static volatile int forks_left;
static volatile int in_child;

__attribute__((noinline)) static void allocate_in_child(void) {
  for (int i = 0; i < 3; i++) {
    void* volatile block = malloc(1234);
    (void)block;
  }
}

static void on_timer(int number) {
  const int saved = errno;
  (void)number;
  if (forks_left > 0 && !in_child) {
    forks_left--;
    if (fork() == 0) {
      in_child = 1;
      allocate_in_child();
    }
  }
  errno = saved;
}

__attribute__((noinline)) static void allocate_in_loop(unsigned i) {
  counted_free(counted_malloc(16 + i % 500));
}

int main(int argc, char** argv) {
  forks_left = argc > 1 ? atoi(argv[1]) : 100;
  struct sigaction action = {.sa_handler = on_timer, .sa_flags = SA_RESTART};
  sigaction(SIGALRM, &action, NULL);
  struct itimerval timer = {{0, 1000}, {0, 1000}};
  setitimer(ITIMER_REAL, &timer, NULL);
  unsigned extra = 0;
  for (unsigned i = 0; forks_left > 0 || extra < 100; i++) {
    allocate_in_loop(i);
    if (forks_left == 0 || in_child)
      extra++;
    if (in_child && extra >= 100)
      _exit(0);
    if (i % 64 == 0)
      while (!in_child && waitpid(-1, NULL, WNOHANG) > 0) {
      }
  }
  timer = (struct itimerval){{0, 0}, {0, 0}};
  setitimer(ITIMER_REAL, &timer, NULL);
  while (wait(NULL) > 0) {
  }
  print_counts("parent");
  return 0;
}
