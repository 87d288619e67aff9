// The library of exit_order: what its constructor allocates, its destructor frees, after everything of
// main's.
#include <stdlib.h>

static void* block;

__attribute__((constructor)) static void allocate_at_load(void) {
  block = malloc(904);
}
__attribute__((destructor)) static void free_at_unload(void) {
  free(block);
}

__attribute__((visibility("default"))) int touch_exit_order_library(void) {
  return block ? 0 : 1;
}
