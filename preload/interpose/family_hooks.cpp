// Hooks on allocators that export a prefixed family (jemalloc je_, tcmalloc tc_, mimalloc mi_) beside or
// instead of malloc. Where a plugin brings one along, each call looks for it anew: plugins come and go.
#include "interpose/heap_bodies.h"

using namespace hl;

#define HL_BODY extern "C" [[gnu::visibility("hidden")]]
#define HL_REAL(prefix, function)                                                                            \
  family_function(g_real.prefix##function, #prefix #function, g_real.function, *caller)

namespace {
// The plain function is for the process that has none of that name at all.
void* family_function(void* const& entry, const char* symbol, void* plain, const EntryRegisters& caller) {
  void* const found = real_for(entry, symbol, caller.rip);
  return found != nullptr ? found : plain;
}
} // namespace

#define HL_FAMILY(prefix)                                                                                    \
  HL_BODY void* hl_hook_##prefix##malloc(size_t size, const EntryRegisters* caller) {                        \
    return malloc_body(HL_REAL(prefix, malloc), size, *caller);                                              \
  }                                                                                                          \
  HL_BODY void* hl_hook_##prefix##calloc(size_t count, size_t size, const EntryRegisters* caller) {          \
    return calloc_body(HL_REAL(prefix, calloc), count, size, *caller);                                       \
  }                                                                                                          \
  HL_BODY void* hl_hook_##prefix##realloc(void* old, size_t size, const EntryRegisters* caller) {            \
    return realloc_body(HL_REAL(prefix, realloc), HL_REAL(prefix, malloc), old, size, *caller);              \
  }                                                                                                          \
  HL_BODY void hl_hook_##prefix##free(void* p, const EntryRegisters* caller) {                               \
    free_body(HL_REAL(prefix, free), p, *caller);                                                            \
  }                                                                                                          \
  HL_BODY void* hl_hook_##prefix##memalign(size_t alignment, size_t size, const EntryRegisters* caller) {    \
    return aligned_body(HL_REAL(prefix, memalign), alignment, size, *caller);                                \
  }                                                                                                          \
  HL_BODY int hl_hook_##prefix##posix_memalign(void** out, size_t alignment, size_t size,                    \
                                               const EntryRegisters* caller) {                               \
    return posix_memalign_body(HL_REAL(prefix, posix_memalign), out, alignment, size, *caller);              \
  }                                                                                                          \
  HL_BODY void* hl_hook_##prefix##valloc(size_t size, const EntryRegisters* caller) {                        \
    return page_aligned_body(HL_REAL(prefix, valloc), size, *caller);                                        \
  }

HL_FAMILY(je_)
HL_FAMILY(tc_)
HL_FAMILY(mi_)

HL_BODY void* hl_hook_je_aligned_alloc(size_t alignment, size_t size, const EntryRegisters* caller) {
  return aligned_body(HL_REAL(je_, aligned_alloc), alignment, size, *caller);
}
HL_BODY void* hl_hook_mi_aligned_alloc(size_t alignment, size_t size, const EntryRegisters* caller) {
  return aligned_body(HL_REAL(mi_, aligned_alloc), alignment, size, *caller);
}
HL_BODY void* hl_hook_tc_pvalloc(size_t size, const EntryRegisters* caller) {
  return page_aligned_body(HL_REAL(tc_, pvalloc), size, *caller);
}
HL_BODY void* hl_hook_mi_pvalloc(size_t size, const EntryRegisters* caller) {
  return page_aligned_body(HL_REAL(mi_, pvalloc), size, *caller);
}
HL_BODY void hl_hook_tc_cfree(void* p, const EntryRegisters* caller) {
  hl_hook_tc_free(p, caller);
}
HL_BODY void hl_hook_mi_cfree(void* p, const EntryRegisters* caller) {
  hl_hook_mi_free(p, caller);
}

HL_BODY void* hl_hook_mi_zalloc(size_t size, const EntryRegisters* caller) {
  void* const real = real_for(g_real.mi_zalloc, "mi_zalloc", caller->rip);
  return real != nullptr ? malloc_body(real, size, *caller) : hl_hook_mi_calloc(1, size, caller);
}
// (size, alignment), the other way round than aligned_alloc.
HL_BODY void* hl_hook_mi_malloc_aligned(size_t size, size_t alignment, const EntryRegisters* caller) {
  void* const real = real_for(g_real.mi_malloc_aligned, "mi_malloc_aligned", caller->rip);
  if (real == nullptr)
    return aligned_body(g_real.memalign, alignment, size, *caller);
  return allocate(EventKind::aligned, size, alignment, *caller,
                  [&] { return real_as<void*(size_t, size_t)>(real)(size, alignment); });
}
