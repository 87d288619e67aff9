// A daemon as the books have it: fork, setsid, fork again, chdir to /, umask, every descriptor closed, its
// standard streams on /dev/null. Its grandchild outlives the program: it allocates, waits until FILE.go
// exists (a minute at most), allocates again, forks a worker, and says where it got in FILE.
//
// usage: daemonize FILE   prints: parent done
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

// Allocates all the while: five times, a little apart.
static void work_for_a_while(void) {
  for (int i = 0; i < 5; i++) {
    allocate(50, 301);
    const struct timespec pause = {0, 10 * 1000 * 1000};
    nanosleep(&pause, NULL);
  }
}

static void wait_for(const char* file) {
  for (int i = 0; i < 6000 && access(file, F_OK) != 0; i++) {
    const struct timespec pause = {0, 10 * 1000 * 1000};
    nanosleep(&pause, NULL);
  }
}

static void be_daemon(const char* file, const char* go_file) {
  if (chdir("/") != 0)
    _exit(1);
  umask(0);
  syscall(SYS_close_range, 0, ~0u, 0);
  if (open("/dev/null", O_RDWR) != 0 || dup(0) != 1 || dup(0) != 2)
    _exit(2);
  signal(SIGHUP, SIG_IGN);
  work_for_a_while();
  wait_for(go_file);
  work_for_a_while();
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
  if (argc < 2)
    return 2;
  char go_file[4096];
  if (snprintf(go_file, sizeof go_file, "%s.go", argv[1]) >= (int)sizeof go_file)
    return 2;
  allocate(20, 300);
  const pid_t child = fork();
  if (child == 0) {
    setsid();
    if (fork() == 0)
      be_daemon(argv[1], go_file);
    _exit(0);
  }
  int status = 0;
  if (waitpid(-1, &status, 0) != child || waitpid(-1, &status, 0) != -1)
    return 3;
  say("parent done\n");
  return 0;
}
