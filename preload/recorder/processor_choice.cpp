// See processor_choice.h.
#include "processor_choice.h"

#include <cstdlib>
#include <cstring>
#include <string>

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <fmt/format.h>

namespace hl {

namespace {

// Field 39 of /proc/PID/stat, counted after the command's closing parenthesis; -1 if it cannot be read.
int last_processor_of(uint32_t pid) {
  const int fd = open(fmt::format("/proc/{}/stat", pid).c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return -1;
  char text[1024];
  const ssize_t bytes = read(fd, text, sizeof text - 1);
  close(fd);
  if (bytes <= 0)
    return -1;
  text[bytes] = '\0';
  const char* at = strrchr(text, ')');
  for (int field = 2; at != nullptr && field < 39; field++)
    at = strchr(at + 1, ' ');
  return at == nullptr ? -1 : std::atoi(at + 1);
}

} // namespace

void leave_processor_to(uint32_t pid) {
  const int here = sched_getcpu();
  if (here < 0 || last_processor_of(pid) != here)
    return;
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0 || CPU_COUNT(&allowed) < 2)
    return;
  cpu_set_t others = allowed;
  CPU_CLR(static_cast<size_t>(here), &others);
  if (sched_setaffinity(0, sizeof others, &others) == 0)
    sched_setaffinity(0, sizeof allowed, &allowed);
}

} // namespace hl
