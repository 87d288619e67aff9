// Handlers that allocate, at every instruction of the recording of an event: a 50 us timer and a second
// thread that sends another signal as fast as it can, against a main loop of mallocs and frees. Handlers
// nest. Not one of their events may be lost or garbled. Linked with safe_allocator.
//
// usage: signal_storm EVENTS   as many at least, and more if 2 000 handlers have not run by then
// prints: storm allocations frees bytes, then: handlers N
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>

#include "counting.h"

static unsigned long handlers;
static int finished;
static pthread_t main_thread;

__attribute__((noinline)) static void allocate_in_handler(size_t size) {
  void* first = counted_malloc(size);
  void* second = counted_malloc(size + 1);
  counted_free(first);
  counted_free(second);
}

static void on_timer(int number) {
  const int saved = errno;
  (void)number;
  __atomic_add_fetch(&handlers, 1, __ATOMIC_RELAXED);
  allocate_in_handler(3000);
  errno = saved;
}

static void on_user_signal(int number) {
  const int saved = errno;
  (void)number;
  __atomic_add_fetch(&handlers, 1, __ATOMIC_RELAXED);
  allocate_in_handler(5000);
  errno = saved;
}

static void* send_signals(void* argument) {
  (void)argument;
  while (!__atomic_load_n(&finished, __ATOMIC_ACQUIRE))
    pthread_kill(main_thread, SIGUSR1);
  return NULL;
}

__attribute__((noinline)) static void allocate_in_loop(unsigned long i) {
  void* block = counted_malloc(16 + i % 500);
  counted_free(block);
}

int main(int argc, char** argv) {
  const unsigned long events = argc > 1 ? strtoul(argv[1], NULL, 10) : 400000;
  struct sigaction action = {.sa_handler = on_timer, .sa_flags = SA_RESTART};
  sigaction(SIGALRM, &action, NULL);
  action.sa_handler = on_user_signal;
  sigaction(SIGUSR1, &action, NULL);
  main_thread = pthread_self();
  pthread_t sender;
  if (pthread_create(&sender, NULL, send_signals, NULL) != 0)
    return 1;
  struct itimerval timer = {{0, 50}, {0, 50}};
  setitimer(ITIMER_REAL, &timer, NULL);
  for (unsigned long i = 0; i < events / 2 || __atomic_load_n(&handlers, __ATOMIC_RELAXED) < 2000; i++)
    allocate_in_loop(i);
  timer = (struct itimerval){{0, 0}, {0, 0}};
  setitimer(ITIMER_REAL, &timer, NULL);
  __atomic_store_n(&finished, 1, __ATOMIC_RELEASE);
  pthread_join(sender, NULL);
  print_counts("storm");
  say("handlers %lu\n", handlers);
  return 0;
}
