// Operators new and delete in a library of their own, of two kinds that no Debian package has.
//
// OVER_MALLOC: a layer over malloc that puts a header before each block; blocks are malloc's, and must count
// once. Otherwise: an arena that takes from the kernel and knows nothing of malloc; without our operators it
// is invisible. Here operator delete[] calls operator delete, through their public names, as such libraries
// do.
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <new>

#include <sys/mman.h>

#ifdef OVER_MALLOC
namespace {
constexpr std::size_t kHeader = 16;
}
void* operator new(std::size_t size) {
  char* const p = static_cast<char*>(std::malloc(size + kHeader));
  if (p == nullptr)
    throw std::bad_alloc();
  std::memcpy(p, &size, sizeof(size));
  return p + kHeader;
}
void operator delete(void* p) noexcept {
  if (p != nullptr)
    std::free(static_cast<char*>(p) - kHeader);
}
#else
void* operator new(std::size_t size) {
  // Blocks at odd places in a page: whoever reads a chunk header before them finds another block's bytes.
  static char* arena;
  static std::size_t used;
  constexpr std::size_t kArena = std::size_t{256} << 20;
  if (arena == nullptr) {
    arena = static_cast<char*>(
        mmap(nullptr, kArena, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  }
  const std::size_t bytes = (size + 15) & ~std::size_t{15};
  if (size > kArena)
    throw std::bad_alloc();
  return arena + __atomic_fetch_add(&used, bytes, __ATOMIC_RELAXED);
}
void operator delete(void*) noexcept {}
#endif
void* operator new[](std::size_t size) {
  return ::operator new(size);
}
void operator delete[](void* p) noexcept {
  ::operator delete(p);
}
void operator delete(void* p, std::size_t) noexcept {
  ::operator delete(p);
}
void operator delete[](void* p, std::size_t) noexcept {
  ::operator delete[](p);
}
