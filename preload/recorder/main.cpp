// heapledger-recorder: `supervise` is what `heapledger record` becomes, `drain` is the recorder it starts.
#include <cstdio>
#include <cstring>

#include "drain_command.h"
#include "supervise_command.h"

int main(int argc, char** argv) {
  if (argc >= 2 && std::strcmp(argv[1], "supervise") == 0) return hl::supervise_command(argc - 2, argv + 2);
  if (argc >= 2 && std::strcmp(argv[1], "drain") == 0) return hl::drain_command(argc - 2, argv + 2);
  fputs("Usage: heapledger-recorder supervise [OPTIONS] [--] APP [ARGS...]\n"
        "       heapledger-recorder drain [OPTIONS] SESSION\n",
        stderr);
  return 2;
}
