// The blocks of pinned_pages and pinned_elsewhere: 65 536 of 240 bytes, made in turn by who keeps them and by
// who does not. The tests know both functions by their names.
#include <stdlib.h>
#include <string.h>

enum { kBlocks = 65536, kBytes = 240, kPage = 4096 };

static void* blocks[kBlocks];

__attribute__((noinline)) static void* keep_for_long(void) {
  void* block = malloc(kBytes);
  memset(block, 1, kBytes);
  return block;
}

__attribute__((noinline)) static void* use_in_a_burst(void) {
  void* block = malloc(kBytes);
  memset(block, 2, kBytes);
  return block;
}
