// A program that knows its own memory: prints how many bytes it keeps live and touched, live and untouched,
// mapped, and free on pages that a block pins, and what the kernel says of it, then ends without freeing
// anything.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { kMiB = 1 << 20, kBlocks = 65536, kBlock = 240, kEvery = 64 };

static void* volatile keep[8];

__attribute__((noinline)) static void pin_pages(void) {
  static void* blocks[kBlocks];
  for (int i = 0; i < kBlocks; i++) {
    blocks[i] = malloc(kBlock);
    memset(blocks[i], i, kBlock);
  }
  for (int i = 0; i < kBlocks; i++)
    if (i % kEvery != 0)
      free(blocks[i]);
}

__attribute__((noinline)) static void map_some(void) {
  char* p = mmap(0, 8 * kMiB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  madvise(p, 8 * kMiB, MADV_NOHUGEPAGE);
  memset(p, 1, 3 * kMiB);
  keep[0] = p;
}

int main(void) {
  pin_pages();
  keep[1] = memset(malloc(5 * kMiB), 1, 5 * kMiB);
  keep[2] = malloc(64 * kMiB);
  map_some();
  // Chunks of 256 bytes, 16 a page: every 64th keeps one page of four.
  const long pinned_pages = kBlocks / kEvery;
  printf("touched %d\n", 5 * kMiB + kBlocks / kEvery * kBlock);
  printf("untouched %d\n", 64 * kMiB);
  printf("mapped %d\n", 3 * kMiB);
  printf("pinned %ld\n", pinned_pages * (4096 - 256));
  fflush(stdout);
  char line[256];
  FILE* rollup = fopen("/proc/self/smaps_rollup", "r");
  while (rollup != NULL && fgets(line, sizeof line, rollup) != NULL) {
    long kib;
    if (sscanf(line, "Rss: %ld kB", &kib) == 1)
      printf("rss %ld\n", kib * 1024);
  }
  fflush(stdout);
  _exit(0);
}
