// See boot_id.h.
#include "boot_id.h"

#include <cstring>

#include <fcntl.h>
#include <unistd.h>

namespace hl {

void read_boot_id(uint8_t (&id)[16]) {
  std::memset(id, 0, sizeof(id));
  const int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return;
  char text[37];
  const ssize_t bytes = read(fd, text, sizeof(text));
  close(fd);
  unsigned digits = 0;
  for (ssize_t i = 0; i < bytes && digits < 32; i++) {
    const char c = text[i];
    const int value = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    if (value < 0)
      continue;
    id[digits / 2] = static_cast<uint8_t>(id[digits / 2] << 4 | value);
    digits++;
  }
}

} // namespace hl
