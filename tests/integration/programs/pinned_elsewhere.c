// 65 536 blocks of 240 bytes under tcmalloc or mimalloc, of which every Nth is kept; counts the pages that
// the blocks lay on and that are resident (pagemap) after each step, and takes a snapshot there.
//
//   pinned_elsewhere N   prints "STEP PAGES" lines:
//     before    all but the kept ones are freed
//     released  the allocator was asked to give back what it can (ReleaseFreeMemory, mi_collect)
//     flushed   the same with the thread's cache emptied first (tcmalloc), or once mimalloc's delay is over
//     apart     the kept ones are freed, too, and the same done again
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "heapledger/heapledger.h"
#include "pinned_blocks.h"

enum { kTriggers = 2 };

static void* triggers[kTriggers];
static uintptr_t pages[2 * kBlocks];
static int page_count, pagemap, triggered;

static int by_number(const void* a, const void* b) {
  const uintptr_t x = *(const uintptr_t*)a, y = *(const uintptr_t*)b;
  return (x > y) - (x < y);
}

static void list_pages(void) {
  for (int i = 0; i < kBlocks; ++i) {
    pages[2 * i] = (uintptr_t)blocks[i] / kPage;
    pages[2 * i + 1] = ((uintptr_t)blocks[i] + kBytes - 1) / kPage;
  }
  qsort(pages, 2 * kBlocks, sizeof *pages, by_number);
  for (int i = 0; i < 2 * kBlocks; ++i)
    if (page_count == 0 || pages[page_count - 1] != pages[i])
      pages[page_count++] = pages[i];
}

static void tell(const char* step) {
  int resident = 0;
  for (int i = 0; i < page_count; ++i) {
    uint64_t entry = 0;
    if (pread(pagemap, &entry, sizeof entry, (off_t)(pages[i] * sizeof entry)) != sizeof entry)
      _exit(3);
    resident += (int)(entry >> 63);
  }
  heapledger_snapshot_here(step, 0);
  char line[100];
  const int bytes = snprintf(line, sizeof line, "%s %d\n", step, resident);
  if (write(STDOUT_FILENO, line, (size_t)bytes) != bytes)
    _exit(4);
}

static void* find(const char* function) {
  return dlsym(RTLD_DEFAULT, function);
}

static void release(bool flush) {
  void (*give_back)(void) = (void (*)(void))find("MallocExtension_ReleaseFreeMemory");
  void (*idle)(void) = (void (*)(void))find("MallocExtension_MarkThreadIdle");
  void (*collect)(bool) = (void (*)(bool))find("mi_collect");
  if (flush && idle != NULL)
    idle();
  if (give_back != NULL)
    give_back();
  if (collect != NULL) {
    if (flush) { // gives back when a page comes free after the delay, which each page that comes free
                 // prolongs by 1 ms
      usleep(1000000);
      free(triggers[triggered++]);
    }
    collect(true);
  }
}

int main(int argc, char** argv) {
  const int every = argc > 1 ? atoi(argv[1]) : 256;
  pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
  if (pagemap < 0 || every < 2)
    return 2;
  for (int i = 0; i < kTriggers; ++i)
    triggers[i] = memset(malloc((size_t)200000 + 70000 * (size_t)i), 3, 100);
  for (int i = 0; i < kBlocks; ++i)
    blocks[i] = i % every == every / 2 ? keep_for_long() : use_in_a_burst();
  list_pages();
  for (int i = 0; i < kBlocks; ++i)
    if (i % every != every / 2)
      free(blocks[i]);
  tell("before");
  release(false);
  tell("released");
  release(true);
  tell("flushed");
  for (int i = every / 2; i < kBlocks; i += every)
    free(blocks[i]);
  release(true);
  tell("apart");
  return 0;
}
