// Each operator new and delete in known numbers, one function each, so that a test can ask for them by name;
// then what happens when memory runs out. Says on standard output what a program can notice of that.
//
// usage: operator_new [no-failure]   (an allocator in C cannot throw: mimalloc of Debian aborts instead)
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <thread>
#include <vector>

#define NOINLINE __attribute__((noinline))

namespace {

struct alignas(64) Wide {
  char bytes[64];
};

// The compiler may leave out a block that nobody looks at.
template <typename T> T* seen(T* p) {
  asm volatile("" : "+r"(p) : : "memory");
  std::memset(static_cast<void*>(p), 0x5a, 8);
  return p;
}

} // namespace

extern "C" {

NOINLINE void use_new() {
  for (int i = 0; i < 1000; ++i)
    ::operator delete(seen(::operator new(24)));
}
NOINLINE void use_new_array() {
  for (int i = 0; i < 900; ++i)
    ::operator delete[](seen(::operator new[](40)));
}
NOINLINE void use_sized() {
  for (int i = 0; i < 800; ++i)
    ::operator delete (seen(::operator new(56)), std::size_t{56});
}
NOINLINE void use_sized_array() {
  for (int i = 0; i < 700; ++i)
    ::operator delete[](seen(::operator new[](72)), std::size_t{72});
}
NOINLINE void use_nothrow() {
  for (int i = 0; i < 600; ++i)
    ::operator delete(seen(::operator new(88, std::nothrow)), std::nothrow);
}
NOINLINE void use_nothrow_array() {
  for (int i = 0; i < 500; ++i)
    ::operator delete[](seen(::operator new[](104, std::nothrow)), std::nothrow);
}
NOINLINE void use_aligned() {
  for (int i = 0; i < 400; ++i)
    delete seen(new Wide);
}
NOINLINE void use_aligned_array() {
  for (int i = 0; i < 300; ++i)
    delete[] seen(new Wide[3]);
}
NOINLINE void use_aligned_unsized() {
  constexpr std::align_val_t kAlignment{128};
  for (int i = 0; i < 200; ++i)
    ::operator delete(seen(::operator new(256, kAlignment)), kAlignment);
}
NOINLINE void use_aligned_nothrow() {
  constexpr std::align_val_t kAlignment{128};
  for (int i = 0; i < 100; ++i)
    ::operator delete(seen(::operator new(256, kAlignment, std::nothrow)), kAlignment, std::nothrow);
}
NOINLINE void use_aligned_nothrow_array() {
  constexpr std::align_val_t kAlignment{128};
  for (int i = 0; i < 90; ++i)
    ::operator delete[](seen(::operator new[](256, kAlignment, std::nothrow)), kAlignment, std::nothrow);
}
NOINLINE void delete_null() {
  void* nothing = nullptr;
  asm volatile("" : "+r"(nothing));
  for (int i = 0; i < 50; ++i)
    ::operator delete(nothing);
}
// Given away and deleted by another thread.
NOINLINE void use_in_threads() {
  std::vector<char*> blocks(4 * 250);
  for (int round = 0; round < 2; ++round) {
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&blocks, t, round] {
        for (int i = 0; i < 250; ++i) {
          char*& mine = blocks[static_cast<std::size_t>((round == 0 ? t : 3 - t) * 250 + i)];
          if (round == 0)
            mine = seen(new char[33]);
          else
            delete[] mine;
        }
      });
    }
    for (std::thread& thread : threads)
      thread.join();
  }
}
NOINLINE void leave_behind() {
  for (int i = 0; i < 7; ++i)
    seen(::operator new(111));
}

int handler_calls;
void on_failure() {
  if (++handler_calls == 3)
    std::set_new_handler(nullptr);
}
NOINLINE void run_out_of_memory() {
  volatile std::size_t huge = std::size_t{1} << 61;
  std::set_new_handler(on_failure);
  try {
    std::printf("got %p\n", ::operator new(huge));
  } catch (const std::bad_alloc& error) {
    std::printf("%s after %d calls of the handler\n", error.what(), handler_calls);
  }
  try {
    std::printf("got %p\n", ::operator new (huge, std::align_val_t{4096}));
  } catch (const std::bad_alloc& error) {
    std::printf("%s, aligned\n", error.what());
  }
  std::printf("%s\n", ::operator new(huge, std::nothrow) == nullptr ? "nothing" : "something");
  // What a handler throws passes through too.
  std::set_new_handler([] { throw std::bad_alloc(); });
  try {
    std::printf("got %p\n", ::operator new[](huge));
  } catch (const std::bad_alloc&) {
    std::printf("thrown by the handler\n");
  }
}

} // extern "C"

int main(int argc, char**) {
  use_new();
  use_new_array();
  use_sized();
  use_sized_array();
  use_nothrow();
  use_nothrow_array();
  use_aligned();
  use_aligned_array();
  use_aligned_unsized();
  use_aligned_nothrow();
  use_aligned_nothrow_array();
  delete_null();
  use_in_threads();
  leave_behind();
  if (argc == 1)
    run_out_of_memory();
  return 0;
}
