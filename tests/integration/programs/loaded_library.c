// The library of code_loading: allocates wherever the loader runs code of a library. In its constructor and
// destructor, in two IFUNC resolvers (of a function that only it calls, which the loader asks while it
// relocates the library, and of one that the program calls), in a thread-local variable's first use, and in a
// plugin that it finds by its RUNPATH.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>

#define OWN_FRAME __attribute__((noinline, noclone))
#define EXPORTED __attribute__((visibility("default")))
#define AFTER_CALL __asm__ volatile("" ::: "memory")

OWN_FRAME static void allocate_in_library(size_t size) {
  void* volatile block = malloc(size);
  free(block);
  AFTER_CALL;
}

__attribute__((constructor)) static void construct(void) {
  allocate_in_library(1400);
  AFTER_CALL;
}

__attribute__((destructor)) static void destruct(void) {
  allocate_in_library(1401);
  AFTER_CALL;
}

static int chosen(void) {
  return 1;
}

typedef int Choice(void);
Choice* resolve_inside(void) {
  allocate_in_library(1402);
  return chosen;
}

Choice* resolve_outside(void) {
  allocate_in_library(1403);
  return chosen;
}

__attribute__((ifunc("resolve_inside"))) static int called_inside(void);
EXPORTED __attribute__((ifunc("resolve_outside"))) int called_outside(void);

// In the dynamic form of TLS, which the loader allocates at first use in a library that was opened.
static __thread char room[1404];

EXPORTED int use_library(void) {
  for (unsigned i = 0; i < sizeof room; i++)
    ((volatile char*)room)[i] = 1;
  return called_inside();
}

// For the caller to free.
EXPORTED void* allocate_for_caller(void) {
  void* volatile block = malloc(1405);
  return block;
}

// By name alone: found through this library's RUNPATH, hence only if the loader sees that this library asks.
EXPORTED int open_plugin(void) {
  void* plugin = dlopen("loaded_plugin.so", RTLD_NOW | RTLD_LOCAL);
  if (!plugin)
    return 0;
  void (*allocate_here)(void);
  *(void**)&allocate_here = dlsym(plugin, "allocate_here");
  allocate_here();
  return dlclose(plugin) == 0;
}
