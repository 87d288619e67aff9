// One process that becomes itself again and again, by every function of the exec family, and fails to in
// between. Each image allocates its own number of blocks (10 + 2 x its number) and prints its number, how
// many libraries the user preloads and in what order, and whether the environment still names them: without
// the recorder and with it, the same.
//
// usage: exec_chain   prints: image N of pid same|other: preloads [user's own]
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "counting.h"

extern char** environ;

__attribute__((noinline)) static void allocate_as_image(int number) {
  for (int i = 0; i < 10 + 2 * number; i++) {
    void* volatile block = malloc(900 + (size_t)number);
    if (i % 2)
      free(block);
  }
}

// LD_PRELOAD without heapledger's own libraries, their file names alone.
static void print_users_preloads(void) {
  char line[300] = "";
  char copy[4096];
  const char* const value = getenv("LD_PRELOAD");
  strncpy(copy, value == NULL ? "" : value, sizeof copy - 1);
  copy[sizeof copy - 1] = 0;
  for (char *save, *word = strtok_r(copy, ": ", &save); word != NULL; word = strtok_r(NULL, ": ", &save)) {
    const char* const slash = strrchr(word, '/');
    const char* const name = slash == NULL ? word : slash + 1;
    if (strncmp(name, "libheapledger", 13) == 0)
      continue;
    strcat(strcat(line, " "), name);
  }
  say("preloads:%s\n", line);
}

int main(int argc, char** argv) {
  const int number = argc > 1 ? atoi(argv[1]) : 0;
  const int first_pid = argc > 2 ? atoi(argv[2]) : (int)getpid();
  char self[4096];
  const ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
  self[length < 0 ? 0 : length] = 0;
  allocate_as_image(number);
  say("image %d, %s pid\n", number, first_pid == (int)getpid() ? "the same" : "another");
  print_users_preloads();
  char next[16], pid[16];
  snprintf(next, sizeof next, "%d", number + 1);
  snprintf(pid, sizeof pid, "%d", first_pid);
  char* arguments[] = {self, next, pid, NULL};
  char nowhere[] = "/nonexistent/program";
  char* const failing[] = {nowhere, NULL};
  if (execv(nowhere, failing) == 0 || errno != ENOENT ||
      execlp("no-such-program-anywhere", "x", (char*)NULL) == 0 || errno != ENOENT ||
      execle(nowhere, "1", "2", "3", "4", "5", "6", "7", (char*)NULL, environ) == 0 || errno != ENOENT)
    return 3;
  switch (number) {
  case 0:
    execv(self, arguments);
    break;
  case 1:
    execve(self, arguments, environ);
    break;
  case 2:
    execvp(self, arguments);
    break;
  case 3:
    execvpe(self, arguments, environ);
    break;
  case 4:
    execl(self, self, next, pid, (char*)NULL);
    break;
  case 5:
    execlp(self, self, next, pid, "further", "words", "than", "registers", "hold", (char*)NULL);
    break;
  case 6:
    execle(self, self, next, pid, "further", "words", "than", "registers", (char*)NULL, environ);
    break;
  case 7:
    fexecve(open(self, O_RDONLY | O_CLOEXEC), arguments, environ);
    break;
  default:
    return argc == 3 ? 0 : 4;
  }
  return 5;
}
