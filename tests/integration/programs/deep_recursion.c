// A recursion of DEPTH frames that allocates on its way down, at the bottom, or on its way up: far more
// frames than a recorder remembers of a stack. Both ends must be told, and that something is left out. Two
// callers of the recursion take turns, so that an outer end that is remembered for longer than it stands is
// seen.
//
// usage: deep_recursion MODE DEPTH   MODE: bottom, ways, handler   prints: MODE allocations N
#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "counting.h"

#define OWN_FRAME __attribute__((noinline, noclone))
#define AFTER_CALL __asm__ volatile("" ::: "memory")

static int ways, handler;
static unsigned long allocations;

OWN_FRAME static void allocate_deep(void) {
  void* volatile block = malloc(1200);
  free(block);
  allocations++;
}

static void on_signal(int number) {
  (void)number;
  allocate_deep();
  AFTER_CALL;
}

OWN_FRAME static void go_down(int depth) {
  if (ways && depth % 100 == 0)
    allocate_deep();
  if (depth)
    go_down(depth - 1);
  else if (handler)
    raise(SIGUSR1);
  else
    allocate_deep();
  AFTER_CALL;
  if (ways && depth % 100 == 50)
    allocate_deep();
}

OWN_FRAME static void first_way_in(int depth) {
  go_down(depth);
  AFTER_CALL;
}

OWN_FRAME static void second_way_in(int depth) {
  go_down(depth);
  __asm__ volatile("nop" ::: "memory"); // unlike the first, or the compiler makes one function of the two
}

static void* recurse(void* argument) {
  const int depth = *(int*)argument;
  for (int i = 0; i < 3; i++) {
    first_way_in(depth);
    second_way_in(depth);
  }
  return NULL;
}

int main(int argc, char** argv) {
  if (argc < 3)
    return 2;
  ways = strcmp(argv[1], "ways") == 0;
  handler = strcmp(argv[1], "handler") == 0;
  int depth = atoi(argv[2]);
  struct sigaction action = {.sa_handler = on_signal};
  sigaction(SIGUSR1, &action, NULL);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, (size_t)depth * 64 + (1 << 20));
  pthread_t thread;
  if (pthread_create(&thread, &attributes, recurse, &depth) != 0)
    return 1;
  pthread_join(thread, NULL);
  say("%s allocations %lu\n", argv[1], allocations);
  return 0;
}
