// Leaks five blocks of 1 000 bytes in a function whose name is longer than a line of text.
#include <stdlib.h>

#define LONG_NAME                                                                                            \
  lose_in_a_function_whose_name_is_longer_than_a_line_and_goes_on_so_that_whoever_prints_it_has_to_cut_it_short

__attribute__((noinline)) static void LONG_NAME(void) {
  for (int i = 0; i < 5; i++) {
    void* volatile block = malloc(1000);
    (void)block;
  }
}

int main(void) {
  LONG_NAME();
  return 0;
}
