// A file read by position. pread, not mmap: the file may be truncated or rewritten while it is read, which
// must be a short read and never SIGBUS, and pages of a large trace must not count as our memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace hl {

class InputFile {
 public:
  // Throws TraceError (not_found, unreadable). Directories and pipes are unreadable.
  explicit InputFile(std::string path);
  ~InputFile();
  InputFile(InputFile&& other) noexcept;
  InputFile& operator=(InputFile&&) = delete;

  const std::string& path() const { return path_; }
  uint64_t size() const { return size_; } // bytes when it was opened

  // Reads up to `bytes` at `offset`; returns how many there were.
  size_t read_at(uint64_t offset, void* out, size_t bytes) const;
  template <typename T> bool read_struct(uint64_t offset, T& out) const {
    return read_at(offset, &out, sizeof(T)) == sizeof(T);
  }

 private:
  std::string path_;
  int descriptor_ = -1;
  uint64_t size_ = 0;
};

} // namespace hl
