// A library whose every part allocates (loaded_library.c), linked, or opened and closed ROUNDS times, or
// opened with RTLD_DEEPBIND, so that it calls libc's malloc past whoever was preloaded.
//
// usage: code_loading linked | opened LIBRARY ROUNDS | deep LIBRARY ROUNDS   prints what it found
#define _GNU_SOURCE
#include <dlfcn.h>
#include <string.h>

#include "counting.h"

int called_outside(void);
int use_library(void);
int open_plugin(void);
void* allocate_for_caller(void);

__attribute__((noinline, noclone)) static void free_for_library(void* block) {
  counted_free(block);
}

int main(int argc, char** argv) {
  if (argc == 2) {
#ifdef LINKED
    const int found = called_outside() + use_library() + open_plugin();
    free_for_library(allocate_for_caller());
    say("linked %d\n", found);
    return 0;
#else
    return 2;
#endif
  }
  if (argc < 4)
    return 2;
  const int flags = strcmp(argv[1], "deep") == 0 ? RTLD_LAZY | RTLD_DEEPBIND : RTLD_LAZY;
  int found = 0;
  for (int i = 0; i < atoi(argv[3]); i++) {
    void* library = dlopen(argv[2], flags | RTLD_LOCAL);
    if (!library)
      return 3;
    int (*functions[3])(void);
    const char* const names[3] = {"called_outside", "use_library", "open_plugin"};
    for (int f = 0; f < 3; f++) {
      *(void**)&functions[f] = dlsym(library, names[f]);
      found += functions[f]();
    }
    void* (*allocate)(void);
    *(void**)&allocate = dlsym(library, "allocate_for_caller");
    free_for_library(allocate());
    dlclose(library);
  }
  say("%s %d\n", argv[1], found);
  return 0;
}
