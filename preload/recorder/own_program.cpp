// See own_program.h.
#include "own_program.h"

#include <climits>
#include <cstdlib>

#include <sys/auxv.h>
#include <unistd.h>

namespace hl {

std::string own_program() {
  char path[PATH_MAX];
  const ssize_t bytes = readlink("/proc/self/exe", path, sizeof(path));
  if (bytes > 0)
    return std::string(path, static_cast<size_t>(bytes));
  // A container may have no /proc. The name is relative to the directory we were started in, which is still
  // ours.
  const char* const started = reinterpret_cast<const char*>(getauxval(AT_EXECFN));
  return started != nullptr && realpath(started, path) != nullptr ? path : "";
}

} // namespace hl
