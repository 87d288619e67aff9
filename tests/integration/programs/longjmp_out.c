// A handler that leaves by siglongjmp, often out of the middle of the recording of an event: the recording
// must go on afterwards as if nothing had been. What was interrupted may or may not be an event; what the
// second half of each round does, with the timer off, must be recorded exactly. Linked with safe_allocator.
//
// usage: longjmp_out ROUNDS   prints: after allocations frees bytes, then: jumps N
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <sys/time.h>

#include "counting.h"

static sigjmp_buf out;
static unsigned long jumps;

static void on_timer(int number) {
  (void)number;
  jumps++;
  siglongjmp(out, 1);
}

__attribute__((noinline)) static void allocate_uncertainly(void) {
  for (;;) {
    void* volatile block = malloc(64);
    free(block);
  }
}

__attribute__((noinline)) static void allocate_afterwards(void) {
  for (int i = 0; i < 10; i++)
    counted_free(counted_malloc(777));
}

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? atoi(argv[1]) : 2000;
  struct sigaction action = {.sa_handler = on_timer};
  sigaction(SIGALRM, &action, NULL);
  for (volatile int i = 0; i < rounds; i++) {
    if (sigsetjmp(out, 1) == 0) {
      struct itimerval timer = {{0, 0}, {0, 20 + i % 60}};
      setitimer(ITIMER_REAL, &timer, NULL);
      allocate_uncertainly();
    }
    allocate_afterwards();
  }
  print_counts("after");
  say("jumps %lu\n", jumps);
  return 0;
}
