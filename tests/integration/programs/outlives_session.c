// Four threads allocate while somebody takes the session file away. It goes on until FILE.go exists, then for
// as many rounds again, and prints a sum over what the blocks held: whatever happens to the recording, the
// sum is the same.
//
//   threads  allocate, reallocate and free, some thousand stacks
//   fork     afterwards forks a child that allocates, and executes itself as `once`
//   once     two hundred allocations and an end
//
// usage: outlives_session MODE [FILE ROUNDS]      FILE: holds the number of rounds of the first thread
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "counting.h"

enum { kThreads = 4, kKept = 64 };

static char go_file[4096];
static long rounds;
static _Atomic long* progress;

// A stack of its own for each of the lowest bits of `path`.
__attribute__((noinline)) static void* allocate_deep(unsigned path, unsigned depth, size_t bytes) {
  if (depth == 0)
    return malloc(bytes);
  void* volatile block =
      path & 1 ? allocate_deep(path >> 1, depth - 1, bytes) : allocate_deep(path >> 1, depth - 1, bytes);
  return block;
}

static uint64_t allocate_for_a_while(unsigned seed, long count, int tells) {
  unsigned char* kept[kKept] = {0};
  size_t sizes[kKept] = {0};
  uint64_t sum = 0;
  for (long i = 0; i < count; i++) {
    seed = seed * 1103515245 + 12345;
    const unsigned at = seed >> 16 & (kKept - 1);
    const size_t bytes = 16 + (seed >> 8 & 255);
    for (size_t k = 0; k < sizes[at]; k += 8)
      sum += kept[at][k];
    if (kept[at] != NULL && i % 3 == 0) {
      kept[at] = realloc(kept[at], bytes);
    } else {
      free(kept[at]);
      kept[at] = allocate_deep(seed >> 12, 10, bytes);
    }
    if (kept[at] == NULL)
      _exit(91);
    memset(kept[at], (int)i & 255, bytes);
    sizes[at] = bytes;
    if (tells && i % 64 == 0)
      atomic_fetch_add(progress, 64);
  }
  for (int i = 0; i < kKept; i++)
    free(kept[i]);
  return sum;
}

static void* thread_main(void* argument) {
  const unsigned number = (unsigned)(uintptr_t)argument;
  const struct timespec pause = {0, 1000000};
  for (int i = 0; access(go_file, F_OK) != 0; i++) {
    if (i == 100000)
      _exit(92); // nobody came to let it end
    allocate_for_a_while(number, 1000, number == 0);
    nanosleep(&pause, NULL);
  }
  return (void*)(uintptr_t)allocate_for_a_while(number, rounds, 0);
}

static int wait_for(pid_t child) {
  int status = 0;
  if (waitpid(child, &status, 0) != child)
    return -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(int argc, char** argv) {
  if (argc == 2 && strcmp(argv[1], "once") == 0) {
    say("once %lu\n", (unsigned long)allocate_for_a_while(7, 200, 0));
    return 7;
  }
  if (argc < 4 || snprintf(go_file, sizeof go_file, "%s.go", argv[2]) >= (int)sizeof go_file)
    return 2;
  rounds = atol(argv[3]);
  const int file = open(argv[2], O_RDWR | O_CREAT | O_TRUNC, 0600);
  if (file < 0 || ftruncate(file, 4096) != 0)
    return 3;
  progress = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (progress == MAP_FAILED)
    return 4;
  close(file);
  pthread_t threads[kThreads];
  for (uintptr_t i = 0; i < kThreads; i++)
    if (pthread_create(&threads[i], NULL, thread_main, (void*)i) != 0)
      return 5;
  uint64_t sum = 0;
  for (int i = 0; i < kThreads; i++) {
    void* part;
    pthread_join(threads[i], &part);
    sum += (uint64_t)(uintptr_t)part;
  }
  say("sum %lu\n", (unsigned long)sum);
  if (strcmp(argv[1], "fork") == 0) {
    pid_t child = fork();
    if (child == 0)
      _exit(allocate_for_a_while(3, 500, 0) != 0 ? 5 : 6);
    say("forked child ended with %d\n", wait_for(child));
    child = fork();
    if (child == 0) {
      execl(argv[0], argv[0], "once", NULL);
      _exit(80);
    }
    say("executed child ended with %d\n", wait_for(child));
  }
  return 42;
}
