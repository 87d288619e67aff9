// `heapledger record`: recording is the recorder's business; this only becomes it.
#include <sys/auxv.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "cli/verbs.h"

namespace hl {

int run_record(int argc, char** argv) {
  std::error_code error;
  std::filesystem::path own = std::filesystem::read_symlink("/proc/self/exe", error);
  if (const char* const started = reinterpret_cast<const char*>(::getauxval(AT_EXECFN)); error && started)
    own = std::filesystem::canonical(started, error); // a container may have no /proc
  std::string recorder = (own.parent_path() / "heapledger-recorder").string();
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
