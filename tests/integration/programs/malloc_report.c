// Preloaded into a program: at SIGUSR2 writes glibc's own statistics (malloc_info) to the file that $MALLOC_REPORT
// names. The program must be idle then, not inside malloc.
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static void report(int signal_number) {
  (void)signal_number;
  const char* path = getenv("MALLOC_REPORT");
  FILE* file = path != NULL ? fopen(path, "we") : NULL;
  if (file == NULL)
    return;
  malloc_info(0, file);
  fclose(file);
}

__attribute__((constructor)) static void listen_for_the_signal(void) {
  signal(SIGUSR2, report);
}
