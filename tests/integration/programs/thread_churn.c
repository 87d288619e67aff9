// Threads that come and go, thousands of them, eight at a time: each allocates, keeps a block in
// thread-specific data whose destructor frees it while the thread is being torn down (and allocates there
// once more), leaves one block to be freed by main, and uses strerror-like libc facilities that libc itself
// frees at thread exit. Its threads' stacks are as small as threads can have.
//
// usage: thread_churn THREADS   prints: threads allocations frees bytes
#define _GNU_SOURCE
#include <limits.h>
#include <pthread.h>

#include "counting.h"

#define AT_ONCE 8
#define ROUNDS 20

static pthread_key_t key;

static void at_thread_exit(void* block) {
  counted_free(block);
  counted_free(counted_malloc(48));
}

static void* work(void* argument) {
  (void)argument;
  void* volatile block;
  for (int i = 0; i < ROUNDS; i++) {
    block = counted_malloc(16 + (size_t)i * 8);
    counted_free(block);
  }
  pthread_setspecific(key, counted_malloc(200));
  return counted_malloc(300);
}

int main(int argc, char** argv) {
  const long threads = argc > 1 ? atol(argv[1]) : 800;
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  if (pthread_attr_setstacksize(&attributes, PTHREAD_STACK_MIN) != 0)
    return 1;
  pthread_key_create(&key, at_thread_exit);
  pthread_t handles[AT_ONCE];
  for (long started = 0; started < threads; started += AT_ONCE) {
    for (int i = 0; i < AT_ONCE; i++)
      if (pthread_create(&handles[i], &attributes, work, NULL) != 0)
        return 2;
    for (int i = 0; i < AT_ONCE; i++) {
      void* left = NULL;
      pthread_join(handles[i], &left);
      counted_free(left);
    }
  }
  print_counts("threads");
  return 0;
}
