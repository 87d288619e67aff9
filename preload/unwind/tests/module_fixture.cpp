// Built twice, with frames of different size, as libraries of the same size: loaded one after the other at
// the same address, they tell whether anything of the first one is still believed.
#include <cstdint>

extern "C" __attribute__((visibility("default"))) uint64_t call_back(uint64_t (*f)(void*), void* p) {
  volatile char local[HL_FIXTURE_BYTES];
  asm volatile("" : : "r"(local) : "memory");
  const uint64_t result = f(p);
  asm volatile("" : : "r"(local) : "memory");
  return result;
}
