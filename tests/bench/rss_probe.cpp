// How much resident memory does being recorded add to a process? Run it with and without, and subtract.
//
// THREADS threads, all alive at the same time, each allocate and free from 2^DEPTH distinct stacks; then the
// program prints its own resident set as the kernel counts it (private, file and shared pages alike) and the
// number of stack nodes that such a tree has. The allocator's own share is the same in both runs.
//
// usage: rss_probe [THREADS [DEPTH]]   prints: VmRSS-bytes threads stack-nodes
#include <pthread.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

int depth = 14;
pthread_barrier_t everybody_done;
pthread_barrier_t measured;

void choose(unsigned path, int level);

// The same body twice, so that each level of the path is one of two frames.
__attribute__((noinline)) void left(unsigned path, int level) {
  choose(path, level);
  __asm__ volatile("" ::: "memory");
}

__attribute__((noinline)) void right(unsigned path, int level) {
  choose(path, level);
  __asm__ volatile("nop" ::: "memory");
}

__attribute__((noinline)) void choose(unsigned path, int level) {
  if (level == 0) {
    void* volatile block = malloc(32); // volatile: the compiler would drop the pair
    free(block);
  } else if (path & 1)
    right(path >> 1, level - 1);
  else
    left(path >> 1, level - 1);
  __asm__ volatile("" ::: "memory");
}

void* work(void*) {
  for (unsigned path = 0; path < (1u << depth); path++)
    choose(path, depth);
  pthread_barrier_wait(&everybody_done);
  pthread_barrier_wait(&measured);
  return nullptr;
}

long resident_bytes() {
  FILE* file = fopen("/proc/self/status", "r");
  char line[256];
  long kilobytes = 0;
  while (file && fgets(line, sizeof line, file))
    if (strncmp(line, "VmRSS:", 6) == 0)
      kilobytes = strtol(line + 6, nullptr, 10);
  if (file)
    fclose(file);
  return kilobytes * 1024;
}

} // namespace

int main(int argc, char** argv) {
  const unsigned threads = argc > 1 ? static_cast<unsigned>(atoi(argv[1])) : 1;
  depth = argc > 2 ? atoi(argv[2]) : depth;
  if (threads < 1 || threads > 1024 || depth < 1 || depth > 24) {
    fprintf(stderr, "usage: rss_probe [THREADS [DEPTH]]\n");
    return 2;
  }
  pthread_barrier_init(&everybody_done, nullptr, threads + 1);
  pthread_barrier_init(&measured, nullptr, threads + 1);
  pthread_t handle;
  for (unsigned i = 0; i < threads; i++)
    if (pthread_create(&handle, nullptr, work, nullptr) != 0)
      return 1;
  pthread_barrier_wait(&everybody_done);
  printf("%ld %u\n", resident_bytes(), threads);
  fflush(stdout);
  pthread_barrier_wait(&measured);
  return 0;
}
