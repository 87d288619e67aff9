// A million distinct stacks: a walk down a binary tree of calls, 20 deep, whose turns are the bits of a
// number. Each number is a stack of its own, met ROUNDS times; each time a block is allocated and the one
// before it freed.
//
// usage: many_stacks STACKS ROUNDS    prints: ns per allocation, CPU ns per allocation
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>

namespace {

void* last_block;

uint64_t clock_ns(clockid_t clock) {
  timespec t;
  clock_gettime(clock, &t);
  return static_cast<uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(t.tv_nsec);
}

template <int kLevel> [[gnu::noinline]] void descend(uint32_t turns) {
  if constexpr (kLevel == 0) {
    free(last_block);
    last_block = malloc(16 + turns % 64);
  } else if ((turns >> (kLevel - 1)) & 1) {
    descend<kLevel - 1>(turns);
    asm volatile("" : : : "memory"); // no tail call: two calls, two return addresses
  } else {
    descend<kLevel - 1>(turns);
    asm volatile("nop" : : : "memory");
  }
}

} // namespace

int main(int argc, char** argv) {
  const uint32_t stacks = argc > 1 ? static_cast<uint32_t>(atol(argv[1])) : 1'000'000;
  const int rounds = argc > 2 ? atoi(argv[2]) : 2;
  const uint64_t began = clock_ns(CLOCK_MONOTONIC), cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
  for (int round = 0; round < rounds; round++)
    for (uint32_t i = 0; i < stacks; i++)
      descend<20>(i * 2654435761u &
                  0xfffff); // each its own stack; neighbours in time are far apart in the tree
  const double calls = static_cast<double>(stacks) * rounds;
  printf("%.1f %.1f\n", static_cast<double>(clock_ns(CLOCK_MONOTONIC) - began) / calls,
         static_cast<double>(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu) / calls);
}
