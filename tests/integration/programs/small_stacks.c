// Threads with stacks from PTHREAD_STACK_MIN up must start and be able to allocate, 20 frames deep, also in a
// signal handler on a small alternate stack: a shim with much thread-local storage or much stack use breaks
// such programs. Prints one line per size.
#define _GNU_SOURCE
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "counting.h"

static void* volatile sink;

static __attribute__((noinline)) void allocate_at(int depth) {
  if (depth)
    allocate_at(depth - 1);
  else {
    sink = malloc(50);
    free(sink);
  }
  __asm__ volatile("" ::: "memory");
}

static void on_signal(int number) {
  (void)number;
  allocate_at(3);
}

static void* work(void* argument) {
  (void)argument;
  allocate_at(20);
  // Two KiB would be legal by the standard's words; the kernel alone wants more on machines with AVX-512.
  stack_t stack = {.ss_sp = malloc(16384), .ss_size = 16384};
  sigaltstack(&stack, NULL);
  pthread_kill(pthread_self(), SIGUSR1);
  stack.ss_flags = SS_DISABLE;
  sigaltstack(&stack, NULL);
  free(stack.ss_sp);
  return NULL;
}

int main(void) {
  struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};
  sigaction(SIGUSR1, &action, NULL);
  for (size_t size = PTHREAD_STACK_MIN; size <= 131072; size *= 2) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, size);
    pthread_t thread;
    const int result = pthread_create(&thread, &attributes, work, NULL);
    say("%zu: %s\n", size, result ? strerror(result) : "started");
    if (result == 0)
      pthread_join(thread, NULL);
  }
  return 0;
}
