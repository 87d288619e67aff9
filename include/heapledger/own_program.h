// Where the program that asks lies: what it starts or preloads lies beside it.
#pragma once

#include <climits>
#include <cstdlib>
#include <string>

#include <sys/auxv.h>
#include <unistd.h>

namespace hl {

// Absolute; "" where neither /proc nor the kernel's word of how the program was started (AT_EXECFN) tells.
inline std::string own_program() {
  char path[PATH_MAX];
  const ssize_t bytes = readlink("/proc/self/exe", path, sizeof path);
  if (bytes > 0)
    return std::string(path, static_cast<size_t>(bytes));
  // A container may have no /proc. The name is relative to the directory it was started in: ask before a
  // change of directory.
  const char* const started = reinterpret_cast<const char*>(getauxval(AT_EXECFN));
  return started != nullptr && realpath(started, path) != nullptr ? path : "";
}

} // namespace hl
