// What the counting test programs share: malloc and free that keep the books themselves, and a line that prints them
// without stdio's streams (whose buffers would be allocations nobody counted).
#pragma once

#include <stdio.h>
#include <stdlib.h>

static unsigned long counted_allocations, counted_frees, counted_bytes;

static inline void* counted_malloc(size_t size) {
  __atomic_add_fetch(&counted_allocations, 1, __ATOMIC_RELAXED);
  __atomic_add_fetch(&counted_bytes, size, __ATOMIC_RELAXED);
  void* volatile block = malloc(size); // volatile: the compiler may otherwise drop a pair of malloc and free
  return block;
}

static inline void counted_free(void* block) {
  __atomic_add_fetch(&counted_frees, 1, __ATOMIC_RELAXED);
  free(block);
}

// Prints: LABEL allocations frees bytes
static inline void print_counts(const char* label) {
  dprintf(1, "%s %lu %lu %lu\n", label, counted_allocations, counted_frees, counted_bytes);
}
