// Thousands of threads, hundreds of them alive at once, and every way in which code runs at a thread's end:
// destructors of pthread keys (which set their key again and allocate in the next round too) and of
// thread_local objects. Each destructor allocates and frees; what it does is counted by the program itself.
//
// usage: many_threads WAVES AT_ONCE   prints: threads N, then counts allocations frees bytes
#include <cstdint>

#include <pthread.h>

#include "counting.h"

namespace {

pthread_key_t key;
pthread_barrier_t all_alive;

[[gnu::noinline]] void in_key_destructor(void* round) {
  counted_free(counted_malloc(41));
  if (reinterpret_cast<uintptr_t>(round) > 1)
    pthread_setspecific(key, reinterpret_cast<void*>(reinterpret_cast<uintptr_t>(round) - 1));
}

struct Local {
  void* block = counted_malloc(42);
  [[gnu::noinline]] ~Local() {
    counted_free(block);
    counted_free(counted_malloc(43));
  }
};

thread_local Local local;

[[gnu::noinline]] void* work(void*) {
  pthread_setspecific(key, reinterpret_cast<void*>(uintptr_t{3}));
  void* volatile touched = local.block;
  static_cast<void>(touched);
  void* const before = counted_malloc(44);
  pthread_barrier_wait(&all_alive);
  counted_free(before);
  return counted_malloc(45);
}

} // namespace

int main(int argc, char** argv) {
  const int waves = argc > 1 ? atoi(argv[1]) : 4;
  const unsigned at_once = argc > 2 ? static_cast<unsigned>(atoi(argv[2])) : 500;
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 64 * 1024);
  pthread_key_create(&key, in_key_destructor);
  static pthread_t handles[4096];
  for (int wave = 0; wave < waves; wave++) {
    pthread_barrier_init(&all_alive, nullptr, at_once);
    for (unsigned i = 0; i < at_once; i++)
      if (pthread_create(&handles[i], &attributes, work, nullptr) != 0)
        return 2;
    for (unsigned i = 0; i < at_once; i++) {
      void* left = nullptr;
      pthread_join(handles[i], &left);
      counted_free(left);
    }
    pthread_barrier_destroy(&all_alive);
  }
  say("threads %u\n", static_cast<unsigned>(waves) * at_once);
  print_counts("counts");
}
