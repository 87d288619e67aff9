// Preloaded into a program: at SIGUSR2 writes what the program's allocator says of itself to the file that
// $MALLOC_REPORT names. The program must be idle then, not inside malloc.
//
//   glibc      malloc_info's XML
//   tcmalloc   "property NAME VALUE" lines of MallocExtension
//   mimalloc   "area RESIDENT USED BLOCK_SIZE" lines: of each page (64 KiB slices) of the heap of the thread
//   that
//              is asked the resident bytes, by pagemap, and the blocks in use
// The last line of the latter two is "end".
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

// As in mimalloc.h 2.0.
typedef struct {
  void* blocks;
  size_t reserved, committed, used, block_size, full_block_size;
} mi_heap_area_t;
typedef bool visitor(const void* heap, const mi_heap_area_t* area, void* block, size_t bytes, void* file);

static int pagemap;

static bool write_area(const void* heap, const mi_heap_area_t* area, void* block, size_t bytes, void* file) {
  (void)heap, (void)bytes;
  if (block != NULL)
    return true;
  const uintptr_t slice = 64 << 10, page = 4096;
  const uintptr_t start = (uintptr_t)area->blocks & ~(slice - 1);
  const uintptr_t end = ((uintptr_t)area->blocks + area->reserved + slice - 1) & ~(slice - 1);
  size_t resident = 0;
  for (uintptr_t at = start; at < end; at += page) {
    uint64_t entry = 0;
    if (pread(pagemap, &entry, sizeof entry, (off_t)(at / page * sizeof entry)) == sizeof entry &&
        entry >> 63)
      resident += page;
  }
  fprintf(file, "area %zu %zu %zu\n", resident, area->used, area->full_block_size);
  return true;
}

static void report(int signal_number) {
  (void)signal_number;
  static const char* const properties[] = {
      "generic.current_allocated_bytes",   "generic.heap_size",
      "tcmalloc.pageheap_free_bytes",      "tcmalloc.pageheap_unmapped_bytes",
      "tcmalloc.central_cache_free_bytes", "tcmalloc.transfer_cache_free_bytes",
      "tcmalloc.thread_cache_free_bytes"};
  const char* path = getenv("MALLOC_REPORT");
  FILE* file = path != NULL ? fopen(path, "we") : NULL;
  if (file == NULL)
    return;
  int (*get)(const char*, size_t*) =
      (int (*)(const char*, size_t*))dlsym(RTLD_DEFAULT, "MallocExtension_GetNumericProperty");
  void* (*heap)(void) = (void* (*)(void))dlsym(RTLD_DEFAULT, "mi_heap_get_default");
  bool (*visit)(const void*, bool, visitor*, void*) =
      (bool (*)(const void*, bool, visitor*, void*))dlsym(RTLD_DEFAULT, "mi_heap_visit_blocks");
  if (get != NULL) {
    for (size_t i = 0; i < sizeof properties / sizeof *properties; ++i) {
      size_t value = 0;
      if (get(properties[i], &value))
        fprintf(file, "property %s %zu\n", properties[i], value);
    }
    fprintf(file, "end\n");
  } else if (heap != NULL && visit != NULL) {
    pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    visit(heap(), false, write_area, file);
    close(pagemap);
    fprintf(file, "end\n");
  } else {
    malloc_info(0, file);
  }
  fclose(file);
}

__attribute__((constructor)) static void listen_for_the_signal(void) {
  signal(SIGUSR2, report);
}
