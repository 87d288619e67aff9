// A C program that loads a C++ library late and privately (RTLD_LOCAL): a shim that interposed operator new
// would have no operator new to pass on to. Prints what the library returned.
#include <dlfcn.h>
#include <stdio.h>

#include "counting.h"

int main(int argc, char** argv) {
  if (argc < 2)
    return 2;
  void* library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    fprintf(stderr, "%s\n", dlerror());
    return 3;
  }
  void* symbol = dlsym(library, "allocate_in_late_library");
  long (*function)(long);
  *(void**)&function = symbol;
  say("%ld\n", function ? function(7) : -1);
  return 0;
}
