// A daemon as the books have it: fork, setsid, fork again, chdir to /, umask, every descriptor closed, its
// standard streams on /dev/null. Its grandchild outlives the program by DELAY ms, allocates all the while,
// forks a worker, and says where it got in FILE.
//
// usage: daemonize FILE DELAY_MS   prints: parent done
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "counting.h"

__attribute__((noinline)) static void allocate(int blocks, size_t bytes) {
  for (int i = 0; i < blocks; i++) {
    void* volatile block = malloc(bytes);
    if (i % 2)
      free(block);
  }
}

static void be_daemon(const char* file, int delay_ms) {
  if (chdir("/") != 0)
    _exit(1);
  umask(0);
  syscall(SYS_close_range, 0, ~0u, 0);
  if (open("/dev/null", O_RDWR) != 0 || dup(0) != 1 || dup(0) != 2)
    _exit(2);
  signal(SIGHUP, SIG_IGN);
  const int rounds = 10;
  for (int i = 0; i < rounds; i++) {
    allocate(50, 301);
    const struct timespec pause = {0, delay_ms * 1000000L / rounds};
    nanosleep(&pause, NULL);
  }
  const pid_t worker = fork();
  if (worker == 0) {
    allocate(70, 302);
    _exit(3);
  }
  int status = 0;
  if (waitpid(-1, &status, 0) != worker || WEXITSTATUS(status) != 3)
    _exit(4);
  const int fd = open(file, O_WRONLY | O_CREAT | O_EXCL, 0600);
  char line[100];
  const int length = snprintf(line, sizeof line, "%d %d %d\n", fd, (int)getpid(), (int)worker);
  _exit(write(fd, line, (size_t)length) != length);
}

int main(int argc, char** argv) {
  if (argc < 3)
    return 2;
  allocate(20, 300);
  const pid_t child = fork();
  if (child == 0) {
    setsid();
    if (fork() == 0)
      be_daemon(argv[1], atoi(argv[2]));
    _exit(0);
  }
  int status = 0;
  if (waitpid(-1, &status, 0) != child || waitpid(-1, &status, 0) != -1)
    return 3;
  say("parent done\n");
  return 0;
}
