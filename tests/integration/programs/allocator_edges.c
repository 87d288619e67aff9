// What programs do at the edges of the allocator's contract, one kind a mode. Prints what the caller can see
// (results, errno, usable sizes), so that the test can compare it with a run without heapledger, byte by
// byte. The numbers of calls are repeated in test_allocator_edges.py. No stdio before the end: it would
// allocate.
//
// usage: allocator_edges sizes | limited | terabyte | unseen | usable | handover BLOCKS
#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

void* __libc_malloc(size_t);
void __libc_free(void*);

static char text[8192];
static size_t used;

static void tell(uint64_t value) {
  char digits[24];
  int count = 0;
  do {
    digits[count++] = (char)('0' + value % 10);
    value /= 10;
  } while (value);
  while (count)
    text[used++] = digits[--count];
  text[used++] = '\n';
}

// A result that has to be null, and errno.
static void refused(void* block) {
  tell(block == NULL);
  tell((uint64_t)errno);
  errno = 7;
}

// Nothing of this is an event: sizes that no allocator can give, near 2^63 and 2^64.
static void sizes(void) {
  static const volatile size_t wild[] = {
      SIZE_MAX,        SIZE_MAX - 1,    SIZE_MAX - 15,         SIZE_MAX - 16,      SIZE_MAX - 4095,
      SIZE_MAX - 4096, (size_t)1 << 63, ((size_t)1 << 63) - 1, PTRDIFF_MAX - 4096, (size_t)1 << 62};
  void* const block = malloc(100); // one event, and its free
  memset(block, 5, 100);
  errno = 7;
  for (unsigned i = 0; i < sizeof wild / sizeof *wild; i++) {
    const size_t size = wild[i];
    refused(malloc(size));
    refused(calloc(size, 1));
    refused(calloc(size, 2));
    refused(calloc(2, size));
    refused(calloc(size, size));
    refused(realloc(NULL, size));
    refused(realloc(block, size));
    refused(reallocarray(block, size, 3));
    refused(memalign(64, size));
    refused(aligned_alloc(4096, size));
    refused(valloc(size));
    refused(pvalloc(size));
    void* out = block;
    tell((uint64_t)posix_memalign(&out, 256, size));
    tell(out == block);
  }
  refused(calloc((size_t)1 << 33, ((size_t)1 << 31) + 1));        // 2^64 + 2^33: overflows to a small one
  refused(reallocarray(block, (size_t)1 << 33, (size_t)1 << 31)); // 2^64: to nothing
  for (int i = 0; i < 100; i++)
    tell((uint64_t)((char*)block)[i]); // a failed realloc has not touched it
  free(block);
}

// Failures of sizes that are small: the address space is used up. 3 blocks are events: two mallocs, one
// realloc.
static void limited(void) {
  char* block = malloc(100);
  memset(block, 6, 100);
  void* const other = malloc(1 << 20);
  const struct rlimit none = {1, 1};
  setrlimit(RLIMIT_AS, &none);
  errno = 7;
  static volatile size_t size = 64 << 20;
  refused(malloc(size));
  refused(calloc(1, size));
  refused(realloc(block, size));
  refused(realloc(other, size));
  refused(memalign(1 << 16, size));
  void* out = block;
  tell((uint64_t)posix_memalign(&out, 4096, size));
  block = realloc(block, 50);
  for (int i = 0; i < 50; i++)
    tell((uint64_t)block[i]);
  free(other);
  free(block);
}

// A trillion bytes in a thousand blocks that are never touched; ten of them grow to twice their size.
static void terabyte(void) {
  static void* blocks[1000];
  for (int i = 0; i < 1000; i++)
    if (!(blocks[i] = malloc((size_t)1 << 30)))
      _exit(77); // the machine does not promise that much
  for (int i = 0; i < 10; i++)
    if (!(blocks[i] = realloc(blocks[i], (size_t)2 << 30)))
      _exit(77);
  tell(1);
}

// 50 blocks are allocated past us and freed by free; 50 by malloc and freed past us, and then a block of each
// of their addresses is taken again.
static void unseen(void) {
  void* blocks[50];
  for (int i = 0; i < 50; i++)
    blocks[i] = __libc_malloc(300);
  for (int i = 0; i < 50; i++)
    free(blocks[i]);
  int same = 0;
  for (int i = 0; i < 50; i++) {
    void* volatile first = malloc(5000);
    __libc_free(first);
    void* volatile second = malloc(5000);
    same += first == second;
    __libc_free(second);
  }
  tell((uint64_t)same);
}

static void usable(void) {
  errno = 7;
  for (size_t size = 0; size < 300000; size = size * 9 / 8 + 1) {
    void* block = malloc(size);
    tell(malloc_usable_size(block));
    memset(block, 1, malloc_usable_size(block));
    block = realloc(block, size + 40);
    tell(malloc_usable_size(block));
    free(block);
  }
  tell(malloc_usable_size(NULL));
  tell((uint64_t)errno);
}

// Blocks go from thread to thread and are freed where they arrive, so that addresses come round between
// threads all the time: the order of a free and the next allocation at its address is what is tested.
enum { kThreads = 4, kSlots = 64 };
static void* _Atomic slots[kSlots];
static uint64_t blocks_each;

static void* hand_over(void* seed) {
  uint64_t random = (uint64_t)(uintptr_t)seed * 0x9e3779b97f4a7c15u + 1;
  for (uint64_t i = 0; i < blocks_each; i++) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    void* block = malloc(16 + (random >> 40) % 400);
    block = atomic_exchange(&slots[(random >> 33) % kSlots], block);
    if (i % 16 == 5 && block)
      block = realloc(block, 16 + (random >> 45) % 600);
    free(block);
  }
  return NULL;
}

static void handover(uint64_t blocks) {
  pthread_t threads[kThreads];
  mallopt(M_ARENA_MAX, 1); // one heap for all: an address freed here is allocated there at once
  mallopt(M_MXFAST, 0);
  blocks_each = blocks / kThreads;
  for (uintptr_t i = 0; i < kThreads; i++)
    pthread_create(&threads[i], NULL, hand_over, (void*)i);
  for (int i = 0; i < kThreads; i++)
    pthread_join(threads[i], NULL);
  for (int i = 0; i < kSlots; i++)
    free(slots[i]);
  tell(blocks_each * kThreads);
}

int main(int argc, char** argv) {
  const char* const mode = argc > 1 ? argv[1] : "";
  if (!strcmp(mode, "sizes"))
    sizes();
  else if (!strcmp(mode, "limited"))
    limited();
  else if (!strcmp(mode, "terabyte"))
    terabyte();
  else if (!strcmp(mode, "unseen"))
    unseen();
  else if (!strcmp(mode, "usable"))
    usable();
  else if (!strcmp(mode, "handover") && argc == 3)
    handover(strtoull(argv[2], NULL, 10));
  else
    return 2;
  return write(1, text, used) == (ssize_t)used ? 0 : 3;
}
