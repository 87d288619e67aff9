// The main thread ends before the other one, whose end is the program's: 0.3 s later. Each has lost a block.
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

static void* outlive(void* unused) {
  usleep(300000);
  void* volatile lost = malloc(777);
  lost = NULL;
  return lost == NULL ? NULL : unused;
}

int main(void) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, outlive, NULL) != 0)
    return 2;
  void* volatile lost = malloc(333);
  lost = NULL;
  (void)lost;
  pthread_exit(NULL);
}
