// Hooks on the standard heap functions: one line each over heap_bodies.h.
#include "interpose/heap_bodies.h"

using namespace hl;

#define HL_BODY extern "C" [[gnu::visibility("hidden")]]

HL_BODY void* hl_hook_malloc(size_t size, const EntryRegisters* caller) {
  return malloc_body(real_or(g_real.malloc, g_real.malloc), size, *caller);
}

HL_BODY void* hl_hook_calloc(size_t count, size_t size, const EntryRegisters* caller) {
  return calloc_body(real_or(g_real.calloc, g_real.calloc), count, size, *caller);
}

HL_BODY void* hl_hook_realloc(void* old, size_t size, const EntryRegisters* caller) {
  return realloc_body(real_or(g_real.realloc, g_real.realloc), g_real.malloc, old, size, *caller);
}

HL_BODY void* hl_hook_reallocarray(void* old, size_t count, size_t size, const EntryRegisters* caller) {
  size_t bytes;
  if (!__builtin_mul_overflow(count, size, &bytes))
    return hl_hook_realloc(old, bytes, caller);
  // Too large: let the real function set errno; realloc of an impossible size does the same.
  void* const real = real_or(g_real.reallocarray, g_real.realloc);
  if (real == nullptr)
    return nullptr;
  if (real == g_real.realloc)
    return real_as<void*(void*, size_t)>(real)(old, PTRDIFF_MAX);
  return real_as<void*(void*, size_t, size_t)>(real)(old, count, size);
}

HL_BODY void hl_hook_free(void* p, const EntryRegisters* caller) {
  free_body(real_or(g_real.free, g_real.free), p, *caller);
}

// The other ways to free end in the same real function, so that none is recorded twice. A function of that
// name which is no allocator's comes here only before it is known for that; its stub jumps to it afterwards.
HL_BODY void hl_hook_cfree(void* p, const EntryRegisters* caller) {
  void* const own = real(g_real.cfree);
  if (hl_aside_cfree != 0 && own != nullptr)
    return real_as<void(void*)>(own)(p);
  hl_hook_free(p, caller);
}
// Not glibc's today: that of a plugin may be anything, so all arguments that registers hold are passed on.
HL_BODY long hl_hook_free_sized(void* p, long a, long b, long c, long d, long e,
                                const EntryRegisters* caller) {
  if (!g_real.free_sized || hl_aside_free_sized != 0)
    if (void* const own = real_for(g_real.free_sized, "free_sized", caller->rip))
      return real_as<long(void*, long, long, long, long, long)>(own)(p, a, b, c, d, e);
  hl_hook_free(p, caller);
  return 0;
}
HL_BODY long hl_hook_free_aligned_sized(void* p, long a, long b, long c, long d, long e,
                                        const EntryRegisters* caller) {
  if (!g_real.free_aligned_sized || hl_aside_free_aligned_sized != 0)
    if (void* const own = real_for(g_real.free_aligned_sized, "free_aligned_sized", caller->rip))
      return real_as<long(void*, long, long, long, long, long)>(own)(p, a, b, c, d, e);
  hl_hook_free(p, caller);
  return 0;
}

HL_BODY void* hl_hook_memalign(size_t alignment, size_t size, const EntryRegisters* caller) {
  return aligned_body(real_or(g_real.memalign, g_real.memalign), alignment, size, *caller);
}

HL_BODY void* hl_hook_aligned_alloc(size_t alignment, size_t size, const EntryRegisters* caller) {
  return aligned_body(real_or(g_real.aligned_alloc, g_real.memalign), alignment, size, *caller);
}

HL_BODY int hl_hook_posix_memalign(void** out, size_t alignment, size_t size, const EntryRegisters* caller) {
  return posix_memalign_body(real_or(g_real.posix_memalign, g_real.posix_memalign), out, alignment, size,
                             *caller);
}

HL_BODY void* hl_hook_valloc(size_t size, const EntryRegisters* caller) {
  return page_aligned_body(real_or(g_real.valloc, g_real.valloc), size, *caller);
}

HL_BODY void* hl_hook_pvalloc(size_t size, const EntryRegisters* caller) {
  return page_aligned_body(real_or(g_real.pvalloc, g_real.pvalloc), size, *caller);
}

HL_BODY int hl_hook_malloc_trim(size_t pad, const EntryRegisters* caller) {
  void* const real = real_or(g_real.malloc_trim, g_real.malloc_trim);
  if (real == nullptr)
    return 0;
  const int result = real_as<int(size_t)>(real)(pad);
  record_trim(pad, result, *caller);
  return result;
}
