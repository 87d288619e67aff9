// Nearly everything is allocated by functions of libc that one line of the program calls: its own code is one place.
// Usage: library_calls TIMES
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char** argv) {
  const int times = argc > 1 ? atoi(argv[1]) : 1;
  int opened = 0;
  for (int i = 0; i < 2 * times; ++i)
    opened += (i % 2 != 0 ? (void*)fopen("/dev/null", "r") : (void*)opendir("/")) != NULL;
  printf("%d\n", opened);
  return 0;
}
