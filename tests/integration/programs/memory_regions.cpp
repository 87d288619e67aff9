// A program with one of each: threads with names, arenas, a block with a mapping of its own, maps of its own
// from two places, shared memory, a file, .bss. It prints what it made and stays for a while, so that its
// memory is sampled.
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

constexpr size_t kMiB = size_t{1} << 20;
char g_bss[3 * kMiB];

[[gnu::noinline]] void* map_from_first_place(size_t bytes) {
  void* const p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  std::memset(p, 1, bytes);
  return p;
}
[[gnu::noinline]] void* map_from_second_place(size_t bytes) {
  void* const p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  std::memset(p, 1, bytes);
  return p;
}

void work(int number) {
  pthread_setname_np(pthread_self(), ("worker-" + std::to_string(number)).c_str());
  std::vector<char*> blocks;
  for (int i = 0; i < 4000; ++i) {
    blocks.push_back(static_cast<char*>(std::malloc(900)));
    std::memset(blocks.back(), 1, 900);
  }
  usleep(1'500'000);
  for (char* block : blocks)
    std::free(block);
}

int main() {
  std::memset(g_bss, 1, sizeof g_bss);
  auto* const large = static_cast<char*>(std::malloc(6 * kMiB));
  std::memset(large, 1, 4 * kMiB);
  map_from_first_place(2 * kMiB);
  map_from_second_place(5 * kMiB);
  const int shared = memfd_create("frames", 0);
  if (shared < 0 || ftruncate(shared, 2 * kMiB) != 0)
    return 1;
  std::memset(mmap(nullptr, 2 * kMiB, PROT_READ | PROT_WRITE, MAP_SHARED, shared, 0), 1, 2 * kMiB);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back(work, i);
  for (std::thread& thread : threads)
    thread.join();
  std::printf("%p\n", static_cast<void*>(large));
  std::fflush(stdout);
  _exit(0); // everything is still there
}
