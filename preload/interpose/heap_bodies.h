// The shared bodies of all hooks on heaps: malloc's, and those of the allocator families that export prefixed
// names. Each calls the real function it is given and records what happened.
//
// Order matters: an allocation is stamped after the real call, a free before it, so that the free of a block
// always sorts before the next allocation at its address; realloc carries both stamps.
// Nothing here may change what the program sees: results, errno (no libc call is made besides the real
// function), alignment. Null pointers, failures and bootstrap blocks are passed on and not recorded.
#pragma once

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "boot/bootstrap_heap.h"
#include "boot/real_functions.h"
#include "emit/heap_events.h"

namespace hl {

inline constexpr size_t kPageAlignment = 4096;

// The entry of g_real that a hook needs, or the plain one (a prefixed family that the process has not
// loaded); nullptr while the real functions are being looked up.
inline void* real_or(void* const& entry, void* const& plain) {
  void* const found = real(entry);
  return found != nullptr ? found : plain;
}

// Calls `allocate` and records the block. A nested hook that already recorded the same block (an allocator
// function that calls another through its public name) counts instead.
template <typename Call>
[[gnu::always_inline]] inline void* allocate(EventKind kind, size_t size, size_t alignment,
                                             const EntryRegisters& caller, Call call) {
  const NestedAllocations before;
  void* const p = call();
  if (p != nullptr && !before.covers(p)) [[likely]]
    record_allocation(kind, p, size, alignment, caller);
  return p;
}

[[gnu::always_inline]] inline void* malloc_body(void* real, size_t size, const EntryRegisters& caller) {
  if (real == nullptr) [[unlikely]]
    return bootstrap_allocate(size);
  return allocate(EventKind::malloc, size, 0, caller, [&] { return real_as<void*(size_t)>(real)(size); });
}

inline void* calloc_body(void* real, size_t count, size_t size, const EntryRegisters& caller) {
  size_t bytes = 0;
  const bool overflow = __builtin_mul_overflow(count, size, &bytes);
  if (real == nullptr) [[unlikely]]
    return overflow ? nullptr : bootstrap_allocate(bytes);
  return allocate(EventKind::calloc, bytes, 0, caller,
                  [&] { return real_as<void*(size_t, size_t)>(real)(count, size); });
}

// memalign, aligned_alloc: (alignment, size).
inline void* aligned_body(void* real, size_t alignment, size_t size, const EntryRegisters& caller) {
  if (real == nullptr) [[unlikely]]
    return bootstrap_allocate(size, alignment);
  return allocate(EventKind::aligned, size, alignment, caller,
                  [&] { return real_as<void*(size_t, size_t)>(real)(alignment, size); });
}

// valloc, pvalloc.
inline void* page_aligned_body(void* real, size_t size, const EntryRegisters& caller) {
  if (real == nullptr) [[unlikely]]
    return bootstrap_allocate(size, kPageAlignment);
  return allocate(EventKind::aligned, size, kPageAlignment, caller,
                  [&] { return real_as<void*(size_t)>(real)(size); });
}

inline int posix_memalign_body(void* real, void** out, size_t alignment, size_t size,
                               const EntryRegisters& caller) {
  if (real == nullptr) [[unlikely]] {
    void* const p = bootstrap_allocate(size, alignment);
    if (p != nullptr)
      *out = p;
    return p != nullptr ? 0 : ENOMEM;
  }
  const NestedAllocations before;
  const int result = real_as<int(void**, size_t, size_t)>(real)(out, alignment, size);
  if (result == 0 && *out != nullptr && !before.covers(*out)) {
    record_allocation(EventKind::aligned, *out, size, alignment, caller);
  }
  return result;
}

[[gnu::always_inline]] inline void free_body(void* real, void* p, const EntryRegisters& caller) {
  if (p == nullptr || real == nullptr) [[unlikely]]
    return;
  if (is_bootstrap(p)) [[unlikely]]
    return;
  record_free(p, caller);
  real_as<void(void*)>(real)(p);
}

inline void* realloc_body(void* real, void* real_malloc, void* old, size_t size,
                          const EntryRegisters& caller) {
  if (real == nullptr || is_bootstrap(old)) [[unlikely]] {
    // A bootstrap block moves to the real heap as soon as there is one.
    void* const p = malloc_body(real_malloc, size, caller);
    if (p != nullptr && is_bootstrap(old))
      memcpy(p, old, size < bootstrap_size(old) ? size : bootstrap_size(old));
    return p;
  }
  const NestedAllocations before;
  ReallocScope scope(old, caller);
  void* const p = real_as<void*(void*, size_t)>(real)(old, size);
  if (p == nullptr) {
    // realloc(p, 0) of glibc frees; after any other null result the block is still there.
    if (old != nullptr && size == 0)
      scope.record_free(old, caller);
  } else if (!before.covers(p)) {
    scope.record(old, p, size, caller);
  }
  return p;
}

} // namespace hl
