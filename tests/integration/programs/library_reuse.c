// Libraries that take turns at one address: two are loaded, called and unloaded alternately, once by dlopen
// and once by iconv (through a gconv module, which libc loads without any function that could be hooked).
// They have the same layout and differ in the name and size of what they allocate. A recorder that takes the
// second for the first names the wrong function. Prints each library's address and how often the addresses
// coincided.
//
// usage: library_reuse FIRST.so SECOND.so ROUNDS      with GCONV_PATH naming a directory with modules
// HLFIRST, HLSECOND
#define _GNU_SOURCE
#include <dlfcn.h>
#include <iconv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "counting.h"

static void* address_of(void* library) {
  Dl_info information;
  void* symbol = dlsym(library, "allocate_here");
  return symbol && dladdr(symbol, &information) ? information.dli_fbase : NULL;
}

int main(int argc, char** argv) {
  if (argc < 4)
    return 2;
  const int rounds = atoi(argv[3]);
  void* address[2] = {NULL, NULL};
  int same = 0;
  for (int round = 0; round < rounds; round++)
    for (int which = 0; which < 2; which++) {
      void* library = dlopen(argv[1 + which], RTLD_NOW | RTLD_LOCAL);
      if (!library)
        return 3;
      void (*function)(void);
      *(void**)&function = dlsym(library, "allocate_here");
      function();
      address[which] = address_of(library);
      dlclose(library);
      same += which == 1 && address[0] == address[1];
    }
  say("dlopen: same address %d times of %d\n", same, rounds);
  for (int round = 0; round < rounds; round++)
    for (int which = 0; which < 2; which++) {
      iconv_t conversion = iconv_open(which ? "HLSECOND//" : "HLFIRST//", "UTF-8");
      if (conversion == (iconv_t)-1)
        return 4;
      iconv_close(conversion);
    }
  return 0;
}
