// The library of library_reuse, compiled twice with FUNCTION and BYTES: allocates from a function whose name
// tells which of the two it is. It is a gconv module as well, so that iconv_open loads and calls it.
#include <gconv.h>
#include <stdlib.h>

__attribute__((noinline)) void* FUNCTION(void) {
  void* volatile block = malloc(BYTES);
  return block;
}

__attribute__((visibility("default"))) void allocate_here(void) {
  void* volatile block = FUNCTION();
  free(block);
}

__attribute__((visibility("default"))) int gconv_init(struct __gconv_step* step) {
  allocate_here();
  step->__min_needed_from = step->__max_needed_from = 1;
  step->__min_needed_to = step->__max_needed_to = 4;
  step->__stateful = 0;
  return __GCONV_OK;
}

__attribute__((visibility("default"))) int gconv(struct __gconv_step* step, struct __gconv_step_data* data,
                                                 const unsigned char** input, const unsigned char* end,
                                                 unsigned char** output, size_t* irreversible, int flush,
                                                 int consume) {
  (void)step, (void)data, (void)input, (void)end, (void)output, (void)irreversible, (void)flush,
      (void)consume;
  return __GCONV_EMPTY_INPUT;
}

__attribute__((visibility("default"))) void gconv_end(struct __gconv_step* step) {
  (void)step;
}
