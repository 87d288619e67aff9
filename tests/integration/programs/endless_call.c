// A thread is inside an allocation call for good, while the main thread makes PAIRS of malloc and free, keeps
// BLOCKS more and ends.
//
//   endless_call PAIRS BLOCKS
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

static void* call(void* block) {
  return realloc(block, 123456);
}

int main(int argc, char** argv) {
  pthread_t thread;
  if (argc < 3 || pthread_create(&thread, NULL, call, malloc(10)) != 0)
    return 2;
  usleep(50000); // it is there by now; if not, the test tests less
  for (long i = 0; i < atol(argv[1]); i++)
    free(malloc(20));
  void** kept = NULL;
  for (long i = 0; i < atol(argv[2]); i++) {
    void** const block = malloc(24);
    *block = kept;
    kept = block;
  }
  static void** volatile root;
  root = kept;
  return root == NULL && atol(argv[2]) != 0;
}
