// A realloc that does not return for one size: what a call that waits for a lock for ever is to the shim.
// Linked as a shared library, so that the shim (preloaded, hence found first) records the call and passes it
// on to here.
#include <stddef.h>
#include <unistd.h>

void* __libc_realloc(void* block, size_t size);

void* realloc(void* block, size_t size) {
  while (size == 123456)
    pause();
  return __libc_realloc(block, size);
}
