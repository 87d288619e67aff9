// A plugin with an allocator of its own whose functions bear a prefix that the shim hooks, and a function
// that is named like one that frees and does not.
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

static char pool[100000];
static size_t used = 64;

static int is_mine(const void* p) {
  return (const char*)p >= pool && (const char*)p < pool + sizeof pool;
}

void* je_malloc(size_t bytes) {
  void* const p = pool + used;
  used += (bytes + 31) & ~(size_t)15;
  return p;
}
void je_free(void* p) {
  if (!is_mine(p))
    puts("je_free: not mine");
}
int free_sized(const char* text, int a, int b, int c) {
  printf("free_sized %s %d %d %d\n", text, a, b, c);
  return a + b + c;
}

void use_plugin(void) {
  void* const p = je_malloc(1234);
  printf("je_malloc: %s\n", is_mine(p) ? "mine" : "not mine");
  je_free(p);
  printf("%d\n", free_sized("text", 1, 2, 3));
}
