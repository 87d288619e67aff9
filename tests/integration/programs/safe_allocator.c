// An allocator that a signal handler may call at any instruction: a pointer that only moves up, and a free
// that does nothing. Linked as a shared library behind the names malloc and free, so that the shim
// (preloaded, hence found first) records the calls and passes them on to here. Programs that storm the shim
// with signals link it: libc's own heap would break under them, and then a test could not tell whose fault it
// was.
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#define ARENA_BYTES ((size_t)8 << 30)
#define HEADER_BYTES 16

static char* arena;
static size_t used_bytes;

static char* arena_start(void) {
  char* start = __atomic_load_n(&arena, __ATOMIC_ACQUIRE);
  if (start)
    return start;
  char* fresh =
      mmap(NULL, ARENA_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (fresh == MAP_FAILED)
    return NULL;
  char* none = NULL;
  if (__atomic_compare_exchange_n(&arena, &none, fresh, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
    return fresh;
  munmap(fresh, ARENA_BYTES);
  return none;
}

void* malloc(size_t size) {
  char* start = arena_start();
  const size_t room = (size + HEADER_BYTES + 15) & ~(size_t)15;
  if (!start || room < size)
    return NULL;
  const size_t offset = __atomic_fetch_add(&used_bytes, room, __ATOMIC_RELAXED);
  if (offset + room > ARENA_BYTES)
    return NULL;
  *(size_t*)(void*)(start + offset) = size;
  return start + offset + HEADER_BYTES;
}

void free(void* block) {
  (void)block;
}

void* calloc(size_t count, size_t size) {
  size_t bytes;
  return __builtin_mul_overflow(count, size, &bytes) ? NULL : malloc(bytes); // fresh pages are zero
}

size_t malloc_usable_size(void* block) {
  return block ? *(size_t*)(void*)((char*)block - HEADER_BYTES) : 0;
}

void* realloc(void* block, size_t size) {
  void* fresh = malloc(size);
  if (fresh && block) {
    const size_t old_size = malloc_usable_size(block);
    memcpy(fresh, block, old_size < size ? old_size : size);
  }
  return fresh;
}
