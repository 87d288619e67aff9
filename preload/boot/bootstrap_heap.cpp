// The bootstrap arena: see bootstrap_heap.h. A bump pointer; the size of a block stands before it.
#include "boot/bootstrap_heap.h"

#include <atomic>
#include <stdint.h>

namespace hl {

alignas(64) char g_bootstrap_arena[kBootstrapBytes];

namespace {
constinit std::atomic<size_t> g_used;
constinit std::atomic<uint32_t> g_blocks;
} // namespace

void* bootstrap_allocate(size_t bytes, size_t alignment) {
  if (alignment < 16)
    alignment = 16;
  if (bytes > kBootstrapBytes || alignment > 4096)
    return nullptr;
  const size_t need = ((bytes + 15) & ~size_t{15}) + 16 + alignment;
  const size_t start = g_used.fetch_add(need, std::memory_order_relaxed);
  if (start + need > kBootstrapBytes)
    return nullptr;
  const uintptr_t first = reinterpret_cast<uintptr_t>(g_bootstrap_arena) + start + 16;
  char* const p = reinterpret_cast<char*>((first + alignment - 1) & ~(uintptr_t{alignment} - 1));
  reinterpret_cast<size_t*>(p)[-1] = bytes;
  g_blocks.fetch_add(1, std::memory_order_relaxed);
  return p;
}

uint32_t bootstrap_blocks() {
  return g_blocks.load(std::memory_order_relaxed);
}

size_t bootstrap_size(const void* p) {
  return static_cast<const size_t*>(p)[-1];
}

} // namespace hl
