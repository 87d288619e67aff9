// A program with an allocator of its own inside: malloc and free are defined here, exported as a linker does
// it, and so come before every preloaded library's.
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static _Alignas(16) char arena[1 << 20];
static size_t used;

void* malloc(size_t size) {
  size = (size + 15) & ~(size_t)15;
  if (size > sizeof arena - used)
    return NULL;
  used += size;
  return arena + used - size;
}
void* calloc(size_t count, size_t size) {
  return malloc(count * size); // the arena is zero, and never used twice
}
void* realloc(void* old, size_t size) {
  void* const block = malloc(size);
  if (block && old)
    memcpy(block, old, size);
  return block;
}
void free(void* block) {
  (void)block;
}

int main(void) {
  char* blocks[100];
  for (int i = 0; i < 100; i++)
    blocks[i] = malloc(100);
  for (int i = 0; i < 100; i++)
    free(blocks[i]);
  return write(1, used == 100 * 112 ? "ours\n" : "more\n", 5) == 5 ? 0 : 1;
}
