// A library whose functions have names that the shim hooks, but have nothing to do with any heap.
#include "unrelated_functions.h"

#include <stdio.h>

int cfree(const char* text, int a, int b, double c) {
  printf("cfree %s %d %d %.1f\n", text, a, b, c);
  return a + b;
}
int free_sized(const char* text, int a, int b, int c) {
  printf("free_sized %s %d %d %d\n", text, a, b, c);
  return b;
}
int free_aligned_sized(const char* text, int a, int b, int c, double d) {
  printf("free_aligned_sized %s %d %d %d %.1f\n", text, a, b, c, d);
  return c;
}
