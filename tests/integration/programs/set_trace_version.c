// Rewrites a trace's preamble with another format version and a valid hash: a trace from the future, as far
// as any reader of today can tell. Knows of the preamble only what docs/format.md says: version at byte 8,
// XXH3 of the first 56 bytes at byte 56.
//
// usage: set_trace_version FILE VERSION
#define XXH_INLINE_ALL
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

int main(int argc, char** argv) {
  unsigned char preamble[64];
  FILE* file = argc > 2 ? fopen(argv[1], "r+b") : NULL;
  if (!file || fread(preamble, 1, sizeof preamble, file) != sizeof preamble)
    return 1;
  uint64_t hash = XXH3_64bits(preamble, 56);
  if (memcmp(preamble + 56, &hash, 8) != 0)
    return 2; // the format is not what this program believes
  const uint32_t version = (uint32_t)strtoul(argv[2], NULL, 10);
  memcpy(preamble + 8, &version, 4);
  hash = XXH3_64bits(preamble, 56);
  memcpy(preamble + 56, &hash, 8);
  rewind(file);
  return fwrite(preamble, 1, sizeof preamble, file) != sizeof preamble || fclose(file) != 0;
}
