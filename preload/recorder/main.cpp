// heapledger-recorder: `supervise` is what `heapledger record` becomes, `drain` is the recorder it starts,
// `adopt` is what the shim starts where it was preloaded by hand.
#include <cstdio>
#include <cstring>

#include "adopt_command.h"
#include "drain_command.h"
#include "supervise_command.h"

int main(int argc, char** argv) {
  if (argc >= 2 && std::strcmp(argv[1], "supervise") == 0)
    return hl::supervise_command(argc - 2, argv + 2);
  if (argc >= 2 && std::strcmp(argv[1], "drain") == 0)
    return hl::drain_command(argc - 2, argv + 2);
  if (argc >= 2 && std::strcmp(argv[1], "adopt") == 0)
    return hl::adopt_command(argc - 2, argv + 2);
  fputs("Usage: heapledger-recorder supervise [OPTIONS] [--] APP [ARGS...]\n"
        "       heapledger-recorder drain [OPTIONS] SESSION\n"
        "       heapledger-recorder adopt --report FD NAME\n",
        stderr);
  return 2;
}
