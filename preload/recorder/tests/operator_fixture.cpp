// Libraries that define operator new for operator_library_test.cpp, in three kinds. Only their symbols
// matter; the program that is linked with one is never run.
#include <cstddef>

#if HL_OVER_MALLOC
extern "C" void* malloc(std::size_t);
void* operator new(std::size_t size) {
  return malloc(size);
}
#else
alignas(16) static char pool[4096];
void* operator new(std::size_t) {
  return pool;
}
#endif
void operator delete(void*) noexcept {}
void operator delete(void*, std::size_t) noexcept {}
#if HL_DEFINES_MALLOC
extern "C" void* malloc(std::size_t) {
  return pool;
}
#endif
