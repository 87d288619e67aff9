// The process's own mappings, as /proc/self/maps tells them, read without libc and without memory of its own.
#pragma once

#include <fcntl.h>
#include <stdint.h>

#include "platform/syscalls.h"

namespace hl {

inline constexpr uint32_t kMapsPathBytes = 256;

// One line of /proc/self/maps, less what nobody here needs.
struct Mapping {
  uint64_t start = 0, end = 0, offset = 0;
  char path[kMapsPathBytes] = {}; // cut to that; "": of no file
  bool executable = false;
};

// Reads the file a buffer at a time. Async-signal-safe.
class MapsReader {
 public:
  MapsReader() : fd_(sys::open_file("/proc/self/maps", O_RDONLY)) {}
  ~MapsReader() {
    if (fd_ >= 0)
      sys::close_file(fd_);
  }
  bool next(Mapping& m) {
    m = Mapping{};
    if (fd_ < 0 || !hex(m.start, '-') || !hex(m.end, ' '))
      return false;
    for (int i = 0; i < 5; ++i)
      if (byte() == 'x' && i == 2)
        m.executable = true;
    if (!hex(m.offset, ' '))
      return false;
    unsigned n = 0;
    bool in_path = false;
    for (int c = byte(); c != '\n' && c >= 0; c = byte()) {
      if (c == '/')
        in_path = true;
      if (in_path && n + 1 < sizeof m.path)
        m.path[n++] = static_cast<char>(c);
    }
    // "08:01 1234    /path": the device and inode hold no '/', so the path starts at the first one.
    return true;
  }

 private:
  int byte() {
    if (at_ == filled_) {
      const long n = sys::read_file(fd_, buffer_, sizeof buffer_);
      if (n <= 0)
        return -1;
      filled_ = static_cast<unsigned>(n);
      at_ = 0;
    }
    return static_cast<unsigned char>(buffer_[at_++]);
  }
  bool hex(uint64_t& v, char stop) {
    for (;;) {
      const int c = byte();
      if (c == stop)
        return true;
      if (c >= '0' && c <= '9')
        v = v * 16 + static_cast<uint64_t>(c - '0');
      else if (c >= 'a' && c <= 'f')
        v = v * 16 + static_cast<uint64_t>(c - 'a' + 10);
      else
        return false;
    }
  }
  int fd_;
  unsigned at_ = 0, filled_ = 0;
  char buffer_[512] = {};
};

} // namespace hl
