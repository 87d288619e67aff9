// Memory for allocations that arrive while the real allocator is still being looked up: the lookup may run
// IFUNC resolvers that allocate. A static arena, never returned to; its blocks are recognised by address for
// ever after.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace hl {

inline constexpr size_t kBootstrapBytes = 64 * 1024;
extern char g_bootstrap_arena[kBootstrapBytes];

// Zeroed, aligned to max(16, alignment); nullptr when the arena is full.
void* bootstrap_allocate(size_t bytes, size_t alignment = 16);
// Asked about every block that is freed.
inline bool is_bootstrap(const void* p) {
  return reinterpret_cast<uintptr_t>(p) - reinterpret_cast<uintptr_t>(g_bootstrap_arena) < kBootstrapBytes;
}
// Bytes asked for at `p`, which must be a bootstrap block.
size_t bootstrap_size(const void* p);
// How many blocks it has given.
uint32_t bootstrap_blocks();

} // namespace hl
