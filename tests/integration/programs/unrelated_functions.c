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
const char* signal(const char* text, double a, const char* end) {
  printf("signal %s %.1f\n", text, a);
  return end;
}
const char* sigset(const char* text, const char* end, int a) {
  printf("sigset %s %d\n", text, a);
  return end;
}
const char* raise(const char* text, int a) {
  printf("raise %s %d\n", text, a);
  return text + a;
}
const char* abort(const char* text, int a) {
  printf("abort %s %d\n", text, a);
  return text + a;
}
