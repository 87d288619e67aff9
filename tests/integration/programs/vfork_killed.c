// A vfork child shares its parent's memory; here it is killed in the middle of allocating, again and again,
// so that it often dies inside the recording of an event and leaves the parent's state as if the parent were
// inside. The parent's own events afterwards must all be recorded. Linked with safe_allocator.
//
// usage: vfork_killed ROUNDS   prints: parent allocations frees bytes
#define _GNU_SOURCE
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "counting.h"

__attribute__((noinline)) static void allocate_until_killed(void) {
  for (;;) {
    void* volatile block = malloc(64);
    free(block);
  }
}

__attribute__((noinline)) static void allocate_in_parent(void) {
  for (int i = 0; i < 10; i++)
    counted_free(counted_malloc(777));
}

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? atoi(argv[1]) : 100;
  for (volatile int round = 0; round < rounds; round++) {
    int channel[2];
    if (pipe(channel) != 0)
      return 1;
    const pid_t killer = fork();
    if (killer == 0) {
      pid_t victim;
      if (read(channel[0], &victim, sizeof victim) != sizeof victim)
        _exit(1);
      const struct timespec delay = {0, 200000 + round % 50 * 7000};
      nanosleep(&delay, NULL);
      kill(victim, SIGKILL);
      _exit(0);
    }
    const pid_t child = vfork();
    if (child == 0) {
      const pid_t self = getpid();
      if (write(channel[1], &self, sizeof self) != sizeof self)
        _exit(1);
      allocate_until_killed();
    }
    int status = 0;
    waitpid(child, &status, 0);
    if (!WIFSIGNALED(status))
      return 2;
    waitpid(killer, NULL, 0);
    close(channel[0]);
    close(channel[1]);
    allocate_in_parent();
  }
  print_counts("parent");
  return 0;
}
