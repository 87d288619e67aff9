// Leaks that somebody already knows of: each function loses ten blocks of its own size, and one of them is
// named by the program itself. What earlier calls left on the stack is wiped out, so that nothing keeps them.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOSE __attribute__((noinline, noclone)) static void

const char* __lsan_default_suppressions(void);
const char* __lsan_default_suppressions(void) {
  return "# the parser keeps its tables\nleak:^lost_by_program_rule$\nrace:not_about_leaks\n";
}

LOSE lose(size_t bytes) {
  void* block = malloc(bytes);
  __asm__ volatile("" : "+r"(block) : : "memory"); // it may not be left out
  memset(block, 1, bytes);
}
LOSE lost_by_program_rule(void) {
  for (int i = 0; i < 10; ++i)
    lose(100);
  __asm__ volatile(""); // no tail call
}
LOSE lost_by_file_rule(void) {
  for (int i = 0; i < 10; ++i)
    lose(200);
  __asm__ volatile("");
}
LOSE lost_by_stack_rule(void) {
  for (int i = 0; i < 10; ++i)
    lose(300);
  __asm__ volatile("");
}
LOSE lost_without_rule(void) {
  for (int i = 0; i < 10; ++i)
    lose(400);
  __asm__ volatile("");
}
LOSE wipe_stack(void) {
  volatile char room[32768];
  for (size_t i = 0; i < sizeof room; ++i)
    room[i] = 0;
}

int main(void) {
  lost_by_program_rule();
  lost_by_file_rule();
  lost_by_stack_rule();
  lost_without_rule();
  wipe_stack();
  puts("done");
  return 0;
}
