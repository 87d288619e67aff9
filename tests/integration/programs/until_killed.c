// Allocates without end and says, after each block, how many it has: the test kills it (or its recorder, or
// both) and looks whether every block that was spoken of is in the record. The count goes to shared memory, a
// file given as argument, because it must survive SIGKILL and be exact to the last completed call.
//
// With LIMIT it ends by itself after as many blocks. With `go` as well, these are counted from when
// COUNT_FILE.go exists: so the test does what it does while the program runs, however slow the machine is.
//
// usage: until_killed COUNT_FILE [LIMIT [go]]
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

__attribute__((noinline)) static void* allocate_until_killed(uint64_t number) {
  void* volatile block = malloc(24 + number % 8 * 16); // not a tail call: this function must be in the stack
  return block;
}

static void pause_for_ms(long ms) {
  const struct timespec pause = {0, ms * 1000000};
  nanosleep(&pause, NULL);
}

int main(int argc, char** argv) {
  char go_file[4096];
  if (argc < 2 || snprintf(go_file, sizeof go_file, "%s.go", argv[1]) >= (int)sizeof go_file)
    return 2;
  uint64_t limit = argc > 2 ? strtoull(argv[2], NULL, 10) : UINT64_MAX;
  int waits_to_go = argc > 3;
  const int file = open(argv[1], O_RDWR | O_CREAT | O_TRUNC, 0600);
  if (file < 0 || ftruncate(file, 4096) != 0)
    return 3;
  volatile uint64_t* completed = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (completed == MAP_FAILED)
    return 4;
  close(file);
  alarm(600); // nobody came to kill it
  for (uint64_t number = 0; number < limit || waits_to_go; number++) {
    if (waits_to_go && number == 16 << 20)
      return 6; // nor to let it end: a gigabyte is enough
    void* volatile block = allocate_until_killed(number);
    if (!block)
      return 5;
    *completed = number + 1;
    if (number % 4096 == 4095) { // a rate that fills memory within minutes, not seconds
      if (waits_to_go && access(go_file, F_OK) == 0) {
        waits_to_go = 0;
        limit += number;
      }
      pause_for_ms(waits_to_go && number > 1000000 ? 20 : 2);
    }
  }
  return 0;
}
