// Programs that lock all their memory, or run within a small address space: a shim's reservations must be
// modest and not become resident. Modes:
//   locked    mlockall(MCL_CURRENT | MCL_FUTURE) first; prints VmRSS and VmLck growth limits in the test
//   held      mlockall first, then 0.5 MiB in small pieces; prints, also: locked-kB N
//   limited   an address space limit of what is mapped now plus 48 MiB, then allocates 24 MiB in small pieces
//
// usage: memory_limits MODE   prints: MODE allocations frees bytes, then: resident-kB N
#define _GNU_SOURCE
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "counting.h"

static long status_kilobytes(const char* key) {
  FILE* file = fopen("/proc/self/status", "r");
  char line[256];
  long value = -1;
  while (file && fgets(line, sizeof line, file))
    if (strncmp(line, key, strlen(key)) == 0)
      value = strtol(line + strlen(key), NULL, 10);
  if (file)
    fclose(file);
  return value;
}

#define PIECES 24576

int main(int argc, char** argv) {
  static void* pieces[PIECES];
  if (argc < 2)
    return 2;
  const int is_held = strcmp(argv[1], "held") == 0, count = is_held ? 512 : PIECES;
  if (is_held || strcmp(argv[1], "locked") == 0) {
    if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0)
      return 77;
  } else {
    const rlim_t bytes = ((rlim_t)status_kilobytes("VmSize:") << 10) + (48u << 20);
    const struct rlimit limit = {bytes, bytes};
    if (setrlimit(RLIMIT_AS, &limit) != 0)
      return 3;
  }
  for (int i = 0; i < count; i++) {
    pieces[i] = counted_malloc(1000);
    if (!pieces[i])
      return 4;
  }
  for (int i = 0; i < count; i++)
    counted_free(pieces[i]);
  print_counts(argv[1]);
  if (is_held)
    say("locked-kB %ld\n", status_kilobytes("VmLck:"));
  say("resident-kB %ld\n", status_kilobytes("VmRSS:"));
  return 0;
}
