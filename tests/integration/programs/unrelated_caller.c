// Calls functions of a library that are named like some that free memory.
#include <stdio.h>

#include "unrelated_functions.h"

int main(void) {
  const int sum = cfree("one", 1, 2, 3.5) + free_sized("two", 4, 5, 6) + free_aligned_sized("three", 7, 8, 9, 10.5);
  printf("%d\n", sum);
  return 0;
}
