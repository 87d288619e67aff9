// A deterministic random walk over all allocation functions, for comparison with an oracle: Valgrind's
// totals, or the naive replay of the dump. With THREADS > 1 blocks wander between threads through a shared
// table, so most frees happen on another thread than the allocation (then only sums that do not depend on the
// order are deterministic). Every block's first and last byte are stamped and checked, so that a shim that
// returned a wrong block is caught here.
//
// usage: random_calls ROUNDS [THREADS]   prints: allocations frees bytes (counted as the contract says)
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <malloc.h>
#include <pthread.h>

#include "counting.h"

namespace {

constexpr unsigned kSlots = 2048;
struct Block {
  unsigned char* address;
  size_t size;
};
std::atomic<Block*> table[kSlots];
std::atomic<uint64_t> allocations, frees, bytes;
uint64_t rounds;

uint64_t next_random(uint64_t& state) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}

void count_allocation(size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  bytes.fetch_add(size, std::memory_order_relaxed);
}

void stamp(Block& block) {
  if (!block.address)
    abort();
  if (block.size) {
    block.address[0] = static_cast<unsigned char>(block.size);
    block.address[block.size - 1] = static_cast<unsigned char>(block.size);
  }
}

void check(const Block& block) {
  if (block.size && (block.address[0] != static_cast<unsigned char>(block.size) ||
                     block.address[block.size - 1] != static_cast<unsigned char>(block.size)))
    abort();
}

unsigned char* allocate_somehow(uint64_t random, size_t size) {
  void* address = nullptr;
  switch (random >> 60) {
  case 0:
    return static_cast<unsigned char*>(calloc(1, size));
  case 1:
    return static_cast<unsigned char*>(memalign(64, size));
  case 2:
    return posix_memalign(&address, 4096, size) == 0 ? static_cast<unsigned char*>(address) : nullptr;
  case 3:
    return static_cast<unsigned char*>(aligned_alloc(16, size));
  case 4:
    return static_cast<unsigned char*>(realloc(nullptr, size));
  default:
    return static_cast<unsigned char*>(malloc(size));
  }
}

// Mostly small, sometimes beyond the mmap threshold.
size_t random_size(uint64_t random) {
  return random % 97 == 0 ? 100'000 + random % 200'000 : random % 700;
}

void release(Block* block) {
  check(*block);
  free(block->address);
  free(block);
  frees.fetch_add(2, std::memory_order_relaxed);
}

void* work(void* seed) {
  uint64_t state = reinterpret_cast<uintptr_t>(seed) * 0x9e3779b97f4a7c15ull + 1;
  for (uint64_t i = 0; i < rounds; i++) {
    const uint64_t random = next_random(state);
    Block* block = table[random % kSlots].exchange(nullptr, std::memory_order_acq_rel);
    if (block && random >> 62 == 3) {
      release(block);
      continue;
    }
    const size_t size = random_size(random >> 8);
    if (block) { // two to three times in four a block is found it is resized
      check(*block);
      const size_t new_size = size ? size : 1;
      block->address = static_cast<unsigned char*>(realloc(block->address, new_size));
      block->size = new_size;
      frees.fetch_add(1, std::memory_order_relaxed);
      count_allocation(new_size);
    } else {
      block = static_cast<Block*>(malloc(sizeof(Block)));
      count_allocation(sizeof(Block));
      block->size = size;
      block->address = allocate_somehow(next_random(state), size);
      count_allocation(size);
    }
    stamp(*block);
    if (Block* displaced = table[random % kSlots].exchange(block, std::memory_order_acq_rel))
      release(displaced);
  }
  return nullptr;
}

} // namespace

int main(int argc, char** argv) {
  rounds = argc > 1 ? strtoull(argv[1], nullptr, 10) : 100'000;
  const int threads = argc > 2 ? atoi(argv[2]) : 1;
  pthread_t handles[64];
  if (threads < 1 || threads > 64)
    return 2;
  for (int i = 1; i < threads; i++)
    if (pthread_create(&handles[i], nullptr, work, reinterpret_cast<void*>(static_cast<uintptr_t>(i + 1))) !=
        0)
      return 1;
  work(reinterpret_cast<void*>(uintptr_t{1}));
  for (int i = 1; i < threads; i++)
    pthread_join(handles[i], nullptr);
  say("%llu %llu %llu\n", static_cast<unsigned long long>(allocations),
      static_cast<unsigned long long>(frees), static_cast<unsigned long long>(bytes));
  return 0;
}
