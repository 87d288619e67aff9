// What the counting test programs share: malloc and free that keep the books themselves, and a way to print
// them that allocates nothing (stdio's streams, and dprintf too, allocate buffers that nobody would have
// counted).
#pragma once

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

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

// printf to descriptor 1, up to 300 bytes, in one write and without an allocation.
__attribute__((format(printf, 1, 2))) static inline void say(const char* format, ...) {
  char line[300];
  va_list arguments;
  va_start(arguments, format);
  const int length = vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  if (write(1, line, (size_t)length) != length)
    _exit(90);
}

// Prints: LABEL allocations frees bytes
static inline void print_counts(const char* label) {
  say("%s %lu %lu %lu\n", label, counted_allocations, counted_frees, counted_bytes);
}
