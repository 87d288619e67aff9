// The descriptors of this process, one after the other. Without /proc: none.
#pragma once

#include <cstdlib>

#include <dirent.h>

namespace hl {

// Calls `visit(fd)` for each that is open, but that of the look itself. It may close the one it is given.
template <typename Visit> void visit_own_descriptors(const Visit& visit) {
  DIR* const directory = opendir("/proc/self/fd");
  if (directory == nullptr)
    return;
  while (const dirent* entry = readdir(directory)) {
    const int fd = std::atoi(entry->d_name);
    if (entry->d_name[0] != '.' && fd != dirfd(directory))
      visit(fd);
  }
  closedir(directory);
}

} // namespace hl
