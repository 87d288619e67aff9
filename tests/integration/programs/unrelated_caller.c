// Calls functions of a library that are named like some of libc's.
#include <stdio.h>

#include "unrelated_functions.h"

int main(void) {
  const int sum =
      cfree("one", 1, 2, 3.5) + free_sized("two", 4, 5, 6) + free_aligned_sized("three", 7, 8, 9, 10.5);
  puts(signal("four", 11.5, "end of four"));
  puts(sigset("five", "end of five", 12));
  puts(raise("six", 1));
  puts(abort("seven", 3));
  printf("%d\n", sum);
  return 0;
}
