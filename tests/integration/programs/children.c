// A process tree of every kind. Each process image allocates a number of blocks of a size that names it, from
// allocate_as(), frees half of them, and prints "IMAGE pid"; the test looks for one trace per image and
// counts in each.
//
//   parent   101 bytes x 20   forks, vforks, spawns, clones; the last of all to end
//   forked   102 bytes x 30   fork()
//   raw      103 bytes x 40   clone system call, without libc's help
//   execed   104 bytes x 50   fork() + execv() of this program: forked's image before, this after
//   spawned  105 bytes x 60   posix_spawn()
//   vforked  106 bytes x 70   vfork() + execv()
//   again    107 bytes x 80   execv() in the same process by "execed": image number 2 of its pid
//   orphan   108 bytes x 90   fork() twice, its parent gone; ends before the tree's root
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "counting.h"

extern char** environ;

__attribute__((noinline)) static void allocate_as(const char* image, size_t bytes, int count) {
  for (int i = 0; i < count; i++) {
    void* volatile block = malloc(bytes);
    if (i % 2)
      free(block);
  }
  say("%s %d\n", image, (int)getpid());
}

static void wait_for(pid_t child) {
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
    dprintf(2, "child %d ended with %x\n", (int)child, (unsigned)status);
    exit(1);
  }
}

int main(int argc, char** argv) {
  if (argc > 1) {
    if (strcmp(argv[1], "execed") == 0) {
      allocate_as("execed", 104, 50);
      execl("/proc/self/exe", "children", "again", NULL);
      return 1;
    }
    if (strcmp(argv[1], "again") == 0)
      allocate_as("again", 107, 80);
    if (strcmp(argv[1], "spawned") == 0)
      allocate_as("spawned", 105, 60);
    if (strcmp(argv[1], "vforked") == 0)
      allocate_as("vforked", 106, 70);
    return 0;
  }
  allocate_as("parent", 101, 20);

  pid_t child = fork();
  if (child == 0) {
    allocate_as("forked", 102, 30);
    _exit(0);
  }
  wait_for(child);

  child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
  if (child == 0) {
    allocate_as("raw", 103, 40);
    _exit(0);
  }
  wait_for(child);

  child = fork();
  if (child == 0) {
    execl("/proc/self/exe", "children", "execed", NULL);
    _exit(1);
  }
  wait_for(child);

  char self[4096];
  const ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
  self[length < 0 ? 0 : length] = 0;
  char name[] = "children", spawned[] = "spawned";
  char* arguments[] = {name, spawned, NULL};
  if (posix_spawn(&child, self, NULL, NULL, arguments, environ) != 0)
    return 1;
  wait_for(child);

  child = vfork();
  if (child == 0) {
    execl(self, "children", "vforked", NULL);
    _exit(1);
  }
  wait_for(child);

  int channel[2];
  if (pipe(channel) != 0)
    return 1;
  child = fork();
  if (child == 0) {
    if (fork() == 0) {
      allocate_as("orphan", 108, 90);
      _exit(write(channel[1], "x", 1) != 1);
    }
    _exit(0);
  }
  wait_for(child);
  char byte;
  return read(channel[0], &byte, 1) != 1;
}
