// The event path's own benchmark: allocation calls at call depth 38 and next to nothing else.
//
// Each loop descends from the bottom of the stack, so that every stack word above main is written anew, and
// makes three events at the leaf: a random slot's block is freed and replaced, and one of a second table is
// toggled. Sizes are 16..1039 bytes, 4 096 slots. Depth, sizes and slots are those of the published
// comparison with the peers; changing one makes all earlier figures worthless. It must not print or allocate
// anything between the two clocks. More SLOTS keep more blocks live, for the analyzer's benchmark.
//
// usage: loop [THREADS [ITERATIONS [SLOTS]]]   prints: ns-per-loop cpu-ns-per-loop events
#include <pthread.h>
#include <sys/mman.h>
#include <time.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace {

constexpr int kDepth = 38;
constexpr unsigned kToggledSlots = 4096;
// main (or the thread's start) and its two callers in libc are frames too.
constexpr int kFramesBelow = 4;

struct Worker {
  uint64_t random_state;
  uint64_t iterations;
  uint64_t slots;
  void** replaced; // mmapped: the tables are not to appear among the events
  void* toggled[kToggledSlots];
};

uint64_t next_random(uint64_t& state) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}

size_t size_from(uint64_t random) {
  return 16 + ((random >> 32) & 1023);
}

__attribute__((noinline)) void make_events(Worker& worker) {
  uint64_t random = next_random(worker.random_state);
  void** replaced = &worker.replaced[random % worker.slots];
  free(*replaced);
  *replaced = malloc(size_from(random));
  random = next_random(worker.random_state);
  void** toggled = &worker.toggled[random % kToggledSlots];
  if (*toggled) {
    free(*toggled);
    *toggled = nullptr;
  } else {
    *toggled = malloc(size_from(random));
  }
}

// The barrier after the call keeps the compiler from turning the recursion into a loop.
__attribute__((noinline)) void descend(Worker& worker, int levels) {
  if (levels == 0)
    make_events(worker);
  else
    descend(worker, levels - 1);
  __asm__ volatile("" ::: "memory");
}

void* run(void* argument) {
  Worker& worker = *static_cast<Worker*>(argument);
  for (uint64_t i = 0; i < worker.slots; i++)
    worker.replaced[i] = malloc(size_from(next_random(worker.random_state)));
  for (uint64_t i = 0; i < worker.iterations; i++)
    descend(worker, kDepth - kFramesBelow);
  return nullptr;
}

double now_ns(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_nsec);
}

} // namespace

int main(int argc, char** argv) {
  const int threads = argc > 1 ? atoi(argv[1]) : 1;
  const uint64_t iterations = argc > 2 ? strtoull(argv[2], nullptr, 10) : 2'000'000;
  const uint64_t slots = argc > 3 ? strtoull(argv[3], nullptr, 10) : 4096;
  if (threads < 1 || threads > 64 || iterations < 1 || slots < 1) {
    fprintf(stderr, "usage: loop [THREADS [ITERATIONS [SLOTS]]]\n");
    return 2;
  }
  static Worker workers[64];
  pthread_t handles[64];
  for (int i = 0; i < threads; i++) {
    workers[i].random_state = 88172645463325252ull + static_cast<uint64_t>(i) * 7919;
    workers[i].iterations = iterations;
    workers[i].slots = slots;
    void* table =
        mmap(nullptr, slots * sizeof(void*), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (table == MAP_FAILED)
      return 1;
    workers[i].replaced = static_cast<void**>(table);
  }
  const double start_ns = now_ns(CLOCK_MONOTONIC);
  const double start_cpu_ns = now_ns(CLOCK_PROCESS_CPUTIME_ID);
  // The first worker runs in the main thread: with one thread the process stays single-threaded, as most are.
  for (int i = 1; i < threads; i++)
    if (pthread_create(&handles[i], nullptr, run, &workers[i]) != 0)
      return 1;
  run(&workers[0]);
  for (int i = 1; i < threads; i++)
    pthread_join(handles[i], nullptr);
  const double elapsed_ns = now_ns(CLOCK_MONOTONIC) - start_ns;
  const double cpu_ns = now_ns(CLOCK_PROCESS_CPUTIME_ID) - start_cpu_ns;
  const double loops = static_cast<double>(iterations);
  printf("%.1f %.1f %llu\n", elapsed_ns / loops, cpu_ns / loops,
         static_cast<unsigned long long>((iterations * 3 + slots) * static_cast<uint64_t>(threads)));
  return 0;
}
