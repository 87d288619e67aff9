// The main thread ends before the other one, whose end is the program's: 0.3 s later or, with the argument
// "wait", when its standard input ends. Each has lost a block.
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

static void* outlive(void* waits) {
  char byte;
  if (waits == NULL)
    usleep(300000);
  else
    while (read(0, &byte, 1) > 0) {
    }
  void* volatile lost = malloc(777);
  lost = NULL;
  return lost;
}

int main(int argc, char** argv) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, outlive, argc > 1 ? argv : NULL) != 0)
    return 2;
  void* volatile lost = malloc(333);
  lost = NULL;
  (void)lost;
  pthread_exit(NULL);
}
