// A cursor over bytes that may say anything: every read is checked against the end, and after the first read
// that does not fit the reader stays failed and yields zeros. Parsers check ok() once, at their end.
#pragma once

#include <stdint.h>
#include <string.h>

namespace hl {

class ByteReader {
 public:
  ByteReader(uint64_t begin, uint64_t end) : at_(begin), end_(end < begin ? begin : end) {}

  bool ok() const { return ok_; }
  bool at_end() const { return at_ >= end_; }
  uint64_t position() const { return at_; }
  uint64_t remaining() const { return end_ - at_; }
  void fail() {
    ok_ = false;
    at_ = end_;
  }
  void skip(uint64_t bytes) {
    if (bytes > remaining())
      return fail();
    at_ += bytes;
  }

  template <typename T> T read() {
    if (sizeof(T) > remaining()) {
      fail();
      return T{};
    }
    T value;
    memcpy(&value, reinterpret_cast<const void*>(at_), sizeof value);
    at_ += sizeof value;
    return value;
  }
  uint8_t u8() { return read<uint8_t>(); }

  uint64_t uleb() {
    uint64_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
      if (at_ >= end_) {
        fail();
        return 0;
      }
      const uint8_t byte = u8();
      if (shift < 64)
        value |= uint64_t{byte & 0x7fu} << shift;
      if (!(byte & 0x80))
        return value;
    }
  }
  int64_t sleb() {
    uint64_t value = 0;
    for (unsigned shift = 0;;) {
      if (at_ >= end_) {
        fail();
        return 0;
      }
      const uint8_t byte = u8();
      if (shift < 64)
        value |= uint64_t{byte & 0x7fu} << shift;
      shift += 7;
      if (byte & 0x80)
        continue;
      if (shift < 64 && (byte & 0x40))
        value |= ~uint64_t{0} << shift;
      return static_cast<int64_t>(value);
    }
  }

 private:
  uint64_t at_, end_;
  bool ok_ = true;
};

} // namespace hl
