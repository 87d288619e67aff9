/* A server in small: each round allocates ROUND_BLOCKS blocks, keeps one of them and marks the moment. Speaks
 * to heapledger by its public header alone; runs the same without it. usage: marks ROUNDS */
#include <heapledger/heapledger.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROUND_BLOCKS = 50, KEPT_BYTES = 333, PASSING_BYTES = 100 };

static void** kept;

__attribute__((noinline)) static void* keep(void) {
  void* p = malloc(KEPT_BYTES);
  __asm__ volatile("" : : "r"(p) : "memory"); /* no tail call: this frame is to be seen */
  return p;
}

static void run_round(int round) {
  void* passing[ROUND_BLOCKS];
  for (int i = 0; i < ROUND_BLOCKS; i++)
    passing[i] = malloc(PASSING_BYTES);
  kept[round] = keep();
  if (round == 1)
    heapledger_mark_here("in the middle of round 1");
  for (int i = 0; i < ROUND_BLOCKS; i++)
    free(passing[i]);
}

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? atoi(argv[1]) : 5;
  kept = (void**)malloc(sizeof(void*) * (size_t)rounds);
  heapledger_mark_here("begin");
  for (int round = 0; round < rounds; round++) {
    char name[32];
    run_round(round);
    snprintf(name, sizeof name, "round %d", round);
    heapledger_mark_here(name);
  }
  heapledger_mark_here(NULL);
  puts(heapledger_mark ? "recorded" : "alone");
  return 0;
}
