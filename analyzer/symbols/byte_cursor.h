// A bounded reader over hostile bytes: the only way the ELF and DWARF code here touches section contents.
//
// Reading past the end yields zeros, sets failed() and stays at the end, so that a parser may read a whole
// record and ask once. No pointer arithmetic on file data may happen outside this class.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace hl {

using Bytes = std::span<const uint8_t>;

class ByteCursor {
 public:
  ByteCursor() = default;
  // Covers bytes[begin, end); both are clamped to the span.
  explicit ByteCursor(Bytes bytes, uint64_t begin = 0, uint64_t end = UINT64_MAX)
      : base_(bytes.data()), size_(end < bytes.size() ? end : bytes.size()), position_(begin) {
    if (position_ > size_)
      fail();
  }

  uint64_t position() const { return position_; }
  uint64_t remaining() const { return size_ - position_; }
  bool at_end() const { return position_ >= size_; }
  bool failed() const { return failed_; }

  void skip(uint64_t count) {
    if (count > remaining()) {
      fail();
    } else {
      position_ += count;
    }
  }
  void seek(uint64_t position) {
    if (position > size_) {
      fail();
    } else {
      position_ = position;
    }
  }

  uint8_t u8() {
    if (position_ >= size_) {
      fail();
      return 0;
    }
    return base_[position_++];
  }
  uint16_t u16() { return fixed<uint16_t>(); }
  uint32_t u32() { return fixed<uint32_t>(); }
  uint64_t u64() { return fixed<uint64_t>(); }

  // Little-endian unsigned of 1 to 8 bytes; other widths fail.
  uint64_t unsigned_of(unsigned width) {
    switch (width) {
    case 1:
      return u8();
    case 2:
      return u16();
    case 4:
      return u32();
    case 8:
      return u64();
    default:
      break;
    }
    if (width == 0 || width > 8 || width > remaining()) {
      fail();
      return 0;
    }
    uint64_t value = 0;
    for (unsigned i = 0; i < width; ++i)
      value |= uint64_t{base_[position_ + i]} << (8 * i);
    position_ += width;
    return value;
  }

  // Bits beyond 64 are dropped; an unterminated number fails.
  uint64_t uleb() {
    uint64_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
      if (position_ >= size_) {
        fail();
        return 0;
      }
      uint8_t byte = base_[position_++];
      if (shift < 64)
        value |= uint64_t{byte & 0x7fu} << shift;
      if ((byte & 0x80) == 0)
        return value;
    }
  }
  int64_t sleb() {
    uint64_t value = 0;
    for (unsigned shift = 0;;) {
      if (position_ >= size_) {
        fail();
        return 0;
      }
      uint8_t byte = base_[position_++];
      if (shift < 64)
        value |= uint64_t{byte & 0x7fu} << shift;
      shift += 7;
      if ((byte & 0x80) == 0) {
        if (shift < 64 && (byte & 0x40) != 0)
          value |= ~uint64_t{0} << shift;
        return static_cast<int64_t>(value);
      }
    }
  }

  // Up to the next NUL, which is consumed but not part of the result; without one, it fails.
  std::string_view c_string() {
    const void* nul = position_ < size_ ? std::memchr(base_ + position_, 0, size_ - position_) : nullptr;
    if (nul == nullptr) {
      fail();
      return {};
    }
    const char* text = reinterpret_cast<const char*>(base_ + position_);
    uint64_t length = static_cast<uint64_t>(static_cast<const uint8_t*>(nul) - (base_ + position_));
    position_ += length + 1;
    return {text, length};
  }

  Bytes bytes(uint64_t count) {
    if (count > remaining()) {
      fail();
      return {};
    }
    Bytes result{base_ + position_, count};
    position_ += count;
    return result;
  }

  void fail() {
    failed_ = true;
    position_ = size_;
  }

 private:
  template <typename T> T fixed() {
    if (sizeof(T) > remaining()) {
      fail();
      return 0;
    }
    T value;
    std::memcpy(&value, base_ + position_, sizeof value);
    position_ += sizeof value;
    return value;
  }

  const uint8_t* base_ = nullptr;
  uint64_t size_ = 0;
  uint64_t position_ = 0;
  bool failed_ = false;
};

// The NUL-terminated text at `offset`, or empty.
inline std::string_view c_string_at(Bytes bytes, uint64_t offset) {
  ByteCursor cursor(bytes, offset);
  return cursor.c_string();
}

} // namespace hl
