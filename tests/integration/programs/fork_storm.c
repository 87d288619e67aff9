// Forks in a program whose other threads never stop allocating. Each child allocates a number of blocks that
// names it, from allocate_in_child(), frees half of them, checks that its heap still works with a thread of
// its own, and ends; the parent counts what its threads did. Forks come from one thread that allocates too.
//
// usage: fork_storm FORKS THREADS   prints: forks FORKS, then parent allocations frees bytes
#define _GNU_SOURCE
#include <pthread.h>
#include <sys/wait.h>

#include "counting.h"

static volatile int over;

static void* hammer(void* argument) {
  void* kept[64] = {0};
  unsigned random = (unsigned)(size_t)argument * 2654435761u;
  while (!over) {
    random = random * 1664525u + 1013904223u;
    void** const place = &kept[random >> 26];
    if (*place != NULL)
      counted_free(*place);
    *place = counted_malloc(16 + (random >> 8) % 2000);
  }
  for (int i = 0; i < 64; i++)
    if (kept[i] != NULL)
      counted_free(kept[i]);
  return NULL;
}

__attribute__((noinline)) static void allocate_in_child(int blocks) {
  for (int i = 0; i < blocks; i++) {
    void* volatile block = malloc(77);
    if (i % 2)
      free(block);
  }
}

static void* in_childs_thread(void* blocks) {
  allocate_in_child((int)(size_t)blocks);
  return NULL;
}

int main(int argc, char** argv) {
  const int forks = argc > 1 ? atoi(argv[1]) : 100;
  const int threads = argc > 2 ? atoi(argv[2]) : 3;
  pthread_t handles[16];
  for (int i = 0; i < threads; i++)
    if (pthread_create(&handles[i], NULL, hammer, (void*)(size_t)(i + 1)) != 0)
      return 2;
  int good = 0;
  for (int i = 0; i < forks; i++) {
    counted_free(counted_malloc(100));
    const pid_t child = fork();
    if (child == 0) {
      const int blocks = 10 + i % 7 * 2;
      allocate_in_child(blocks);
      pthread_t own;
      if (i % 5 == 0 && (pthread_create(&own, NULL, in_childs_thread, (void*)(size_t)blocks) != 0 ||
                         pthread_join(own, NULL) != 0))
        _exit(3);
      _exit(i % 100);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status) ||
        WEXITSTATUS(status) != i % 100)
      return 4;
    good++;
  }
  over = 1;
  for (int i = 0; i < threads; i++)
    pthread_join(handles[i], NULL);
  say("forks %d\n", good);
  print_counts("parent");
  return 0;
}
