// 65 536 blocks of 240 bytes, of which every 256th is kept: each survivor keeps a page of the heap. Counts
// the heap's resident pages itself (pagemap), before and after malloc_trim(0), and takes a snapshot at both
// moments.
//
//   pinned_pages      prints: resident pages before, after, pages with a survivor on them, resident pages
//                     before on large pages without one (where the heap's end happens to reach over a
//                     boundary)
#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "heapledger/heapledger.h"
#include "pinned_blocks.h"

enum {
  kLargePage = 2 << 20,
  kEvery = 256,
  kKept = 100 /* of each; not the first: the allocator's own chunk is near */,
};

static uint64_t entries[16384]; // of pagemap: 64 MiB of heap
static char* heap_start;

static int resident_pages(int pagemap, const char* start) {
  const size_t pages = (char*)sbrk(0) <= start ? 0 : (size_t)((char*)sbrk(0) - start) / kPage;
  if (pages > sizeof entries / sizeof *entries ||
      pread(pagemap, entries, pages * 8, (off_t)((uintptr_t)start / kPage * 8)) != (ssize_t)(pages * 8))
    _exit(3);
  int resident = 0;
  for (size_t i = 0; i < pages; ++i)
    resident += (int)(entries[i] >> 63);
  return resident;
}

int main(void) {
  const int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
  if (pagemap < 0)
    return 2;
  char* first = malloc(24);
  heap_start = (char*)((uintptr_t)first & ~(uintptr_t)(kPage - 1));
  free(first);
  for (int i = 0; i < kBlocks; ++i)
    blocks[i] = i % kEvery == kKept ? keep_for_long() : use_in_a_burst();
  int pinned = 0;
  uintptr_t last_page = 0;
  for (int i = kKept; i < kBlocks; i += kEvery) {
    const uintptr_t from = ((uintptr_t)blocks[i] - 8) / kPage, to = ((uintptr_t)blocks[i] + 247) / kPage;
    pinned += (int)(to - (from > last_page ? from : last_page + 1) + 1);
    last_page = to;
  }
  for (int i = 0; i < kBlocks; ++i)
    if (i % kEvery != kKept)
      free(blocks[i]);
  heapledger_snapshot_here("before", 0);
  const int before = resident_pages(pagemap, heap_start);
  const int apart = resident_pages(pagemap, (char*)((last_page * kPage / kLargePage + 1) * kLargePage));
  malloc_trim(0);
  const int after = resident_pages(pagemap, heap_start);
  heapledger_snapshot_here("after", 0);
  char line[100];
  const int bytes = snprintf(line, sizeof line, "%d %d %d %d\n", before, after, pinned, apart);
  return write(STDOUT_FILENO, line, (size_t)bytes) == bytes ? 0 : 4;
}
