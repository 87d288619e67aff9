// Children that borrow their parent's memory, while other threads of it allocate: vfork and posix_spawn in
// every use. What such a child does must not disturb the parent's state: it allocates and frees, closes every
// descriptor, fails to exec, exits, execs. The parent does the same work after each and counts everything,
// the children's part included.
//
// usage: borrowed_memory ROUNDS   prints: children N failed N, then parent allocations frees bytes
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "counting.h"

extern char** environ;
static volatile int over;

static void* hammer(void* argument) {
  while (!over) {
    void* volatile blocks[8];
    for (int i = 0; i < 8; i++)
      blocks[i] = counted_malloc(100 + (size_t)i);
    for (int i = 0; i < 8; i++)
      counted_free(blocks[i]);
    usleep(200);
  }
  return argument;
}

__attribute__((noinline)) static void allocate_in_borrower(int blocks) {
  for (int i = 0; i < blocks; i++)
    counted_free(counted_malloc(55));
}

static void expect(pid_t child, int status) {
  int found = 0;
  if (waitpid(child, &found, 0) != child || !WIFEXITED(found) || WEXITSTATUS(found) != status) {
    say("child ended with %x, not %d\n", (unsigned)found, status);
    exit(1);
  }
}

// 0: exits at once. 1: allocates, exits. 2: fails to exec, then exits. 3: execs. 4: closes all descriptors,
// execs.
__attribute__((noinline)) static void borrow(int kind, char* program) {
  char image[] = "image";
  char* arguments[] = {program, image, NULL};
  const pid_t child = vfork();
  if (child == 0) {
    if (kind >= 1)
      allocate_in_borrower(3);
    if (kind == 4)
      syscall(SYS_close_range, 3, ~0u, 0);
    if (kind == 2)
      execv("/nonexistent", arguments);
    if (kind >= 3)
      execve(program, arguments, environ);
    _exit(kind == 2 && errno != ENOENT ? 99 : 20 + kind);
  }
  expect(child, kind >= 3 ? 7 : 20 + kind);
}

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? atoi(argv[1]) : 20;
  if (argc > 1 && strcmp(argv[1], "image") == 0) {
    for (int i = 0; i < 33; i++)
      counted_free(counted_malloc(66));
    return 7;
  }
  pthread_t thread;
  if (pthread_create(&thread, NULL, hammer, NULL) != 0)
    return 2;
  char self[4096];
  const ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
  self[length < 0 ? 0 : length] = 0;
  char image[] = "image";
  char* arguments[] = {self, image, NULL};
  int children = 0, failed = 0;
  for (int i = 0; i < rounds; i++) {
    for (int kind = 0; kind < 5; kind++, children++)
      borrow(kind, self);
    pid_t child = 0;
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_RESETIDS);
    if (posix_spawn(&child, self, &actions, &attributes, arguments, environ) != 0)
      return 3;
    expect(child, 7);
    children++;
    failed += posix_spawnp(&child, "no-such-program", NULL, NULL, arguments, environ) == ENOENT;
    if (system("exit 9") != 9 << 8)
      return 4;
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    counted_free(counted_malloc(200));
  }
  over = 1;
  pthread_join(thread, NULL);
  say("children %d failed %d\n", children, failed);
  print_counts("parent");
  return 0;
}
