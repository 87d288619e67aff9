// One call of each kind of allocation function, in known numbers, each kind in a function of its own, so that
// the test can ask for calls, bytes and stacks site by site. The numbers are repeated in
// test_exact_counts.py; nothing else here may allocate (no stdio). Everything but what leave_behind()
// allocates is freed.
#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline, noclone))

static void* volatile sink;
// The size comes through a volatile, so that the compiler cannot see that malloc must fail or drop a pair of
// calls.
static volatile size_t huge = SIZE_MAX / 2;

static void* keep(void* block) {
  sink = block;
  if (!block)
    _exit(99);
  return block;
}

// 1000 calls, 100 bytes each, all freed.
NOINLINE static void use_malloc(void) {
  void* blocks[1000];
  for (int i = 0; i < 1000; i++)
    blocks[i] = keep(malloc(100));
  for (int i = 0; i < 1000; i++)
    free(blocks[i]);
}

// 50 calls of 7 * 13 bytes.
NOINLINE static void use_calloc(void) {
  for (int i = 0; i < 50; i++) {
    char* block = keep(calloc(7, 13));
    for (int k = 0; k < 91; k++)
      if (block[k])
        _exit(98);
    free(block);
  }
}

// 10 rounds: allocate 16 by realloc(NULL), grow to 160, 1600, 300000, shrink to 8: 5 calls that return a
// block and 4 that replace one; then realloc(p, 0), which frees.
NOINLINE static void use_realloc(void) {
  for (int i = 0; i < 10; i++) {
    void* block = keep(realloc(NULL, 16));
    block = keep(realloc(block, 160));
    block = keep(realloc(block, 1600));
    block = keep(realloc(block, 300000));
    block = keep(realloc(block, 8));
    sink = realloc(block, 0);
  }
}

// 20 calls of 3 * 11 bytes, each then grown to 5 * 11.
NOINLINE static void use_reallocarray(void) {
  for (int i = 0; i < 20; i++) {
    void* block = keep(reallocarray(NULL, 3, 11));
    block = keep(reallocarray(block, 5, 11));
    free(block);
  }
}

// 5 calls of each, 256 bytes (pvalloc: 256, which it rounds up to a page itself).
NOINLINE static void use_memalign(void) {
  for (int i = 0; i < 5; i++)
    free(keep(memalign(64, 256)));
}

NOINLINE static void use_posix_memalign(void) {
  for (int i = 0; i < 5; i++) {
    void* block = NULL;
    if (posix_memalign(&block, 128, 256) != 0 || (uintptr_t)block % 128)
      _exit(97);
    free(keep(block));
  }
}

NOINLINE static void use_aligned_alloc(void) {
  for (int i = 0; i < 5; i++)
    free(keep(aligned_alloc(32, 256)));
}

NOINLINE static void use_valloc(void) {
  for (int i = 0; i < 5; i++)
    free(keep(valloc(256)));
}

NOINLINE static void use_pvalloc(void) {
  for (int i = 0; i < 5; i++)
    free(keep(pvalloc(256)));
}

// 3 blocks of no bytes: each is a call and a block all the same.
NOINLINE static void use_malloc_of_zero(void) {
  for (int i = 0; i < 3; i++)
    free(keep(malloc(0)));
}

// Nothing of this may count: calls that fail, and frees of nothing. errno must be what libc says.
NOINLINE static void fail(void) {
  void* block = keep(malloc(24)); // one call, freed below
  errno = 0;
  if (malloc(huge) || errno != ENOMEM)
    _exit(96);
  errno = 0;
  if (calloc(huge, 16) || errno != ENOMEM)
    _exit(95);
  errno = 0;
  if (realloc(block, huge) || errno != ENOMEM)
    _exit(94);
  errno = 0;
  if (reallocarray(block, huge, 16) || errno != ENOMEM)
    _exit(93);
  void* untouched = &errno;
  errno = 77;
  if (posix_memalign(&untouched, 3, 8) != EINVAL || untouched != &errno || errno != 77)
    _exit(92);
  free(block);
  errno = 55;
  free(NULL);
  if (errno != 55)
    _exit(91);
}

// The peak: 64 blocks of 1 000 000 bytes, on top of nothing but what leave_behind() left.
NOINLINE static void make_peak(void) {
  void* blocks[64];
  for (int i = 0; i < 64; i++)
    blocks[i] = keep(malloc(1000000));
  for (int i = 0; i < 64; i++)
    free(blocks[i]);
}

// 11 blocks of 111 bytes stay.
NOINLINE static void leave_behind(void) {
  for (int i = 0; i < 11; i++)
    keep(malloc(111));
}

int main(void) {
  leave_behind();
  use_malloc();
  use_calloc();
  use_realloc();
  use_reallocarray();
  use_memalign();
  use_posix_memalign();
  use_aligned_alloc();
  use_valloc();
  use_pvalloc();
  use_malloc_of_zero();
  fail();
  make_peak();
  return 0;
}
