// `heapledger record`: recording is the recorder's business; this only becomes it.
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "cli/verbs.h"
#include "heapledger/own_program.h"

namespace hl {

int run_record(int argc, char** argv) {
  const std::string own = own_program();
  std::string recorder = own.substr(0, own.rfind('/') + 1) + "heapledger-recorder";
  std::vector<char*> arguments;
  std::string verb = "supervise";
  arguments.push_back(recorder.data());
  arguments.push_back(verb.data());
  for (int i = 1; i < argc; ++i)
    arguments.push_back(argv[i]);
  arguments.push_back(nullptr);
  ::execv(recorder.c_str(), arguments.data());
  std::fprintf(stderr, "heapledger: cannot start %s: %s\n", recorder.c_str(), std::strerror(errno));
  return errno == ENOENT ? 127 : 126;
}

} // namespace hl
