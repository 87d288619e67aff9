// Bounded access to the bytes of a payload: structures that may have grown or shrunk since they were
// written, strings, numbers. Reading past the end gives zeros and sets failed(); nothing here throws.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>

namespace hl {

class PayloadCursor {
 public:
  explicit PayloadCursor(std::span<const uint8_t> bytes) : bytes_(bytes) {}

  size_t remaining() const { return bytes_.size() - position_; }
  size_t position() const { return position_; }
  bool failed() const { return failed_; }

  // Exactly sizeof(T) bytes.
  template <typename T> bool get(T& out) {
    if (remaining() < sizeof(T))
      return fail();
    std::memcpy(&out, bytes_.data() + position_, sizeof(T));
    position_ += sizeof(T);
    return true;
  }

  // A structure whose writer's size is `written_bytes`: what we know of it is read, the rest skipped or zero.
  template <typename T> bool get_sized(T& out, size_t written_bytes) {
    if (remaining() < written_bytes)
      return fail();
    out = T{};
    std::memcpy(static_cast<void*>(&out), bytes_.data() + position_, std::min(sizeof(T), written_bytes));
    position_ += written_bytes;
    return true;
  }

  std::span<const uint8_t> take(size_t bytes) {
    if (remaining() < bytes) {
      fail();
      return {};
    }
    const auto result = bytes_.subspan(position_, bytes);
    position_ += bytes;
    return result;
  }

  std::string text(size_t bytes) {
    const auto taken = take(bytes);
    return {reinterpret_cast<const char*>(taken.data()), taken.size()};
  }

  uint64_t leb() {
    uint64_t value = 0;
    for (unsigned shift = 0; position_ < bytes_.size(); shift += 7) {
      const uint8_t byte = bytes_[position_++];
      if (shift < 64)
        value |= uint64_t{byte & 0x7fu} << shift;
      if ((byte & 0x80) == 0)
        return value;
      if (shift > 70)
        break;
    }
    fail();
    return 0;
  }

 private:
  bool fail() {
    failed_ = true;
    position_ = bytes_.size();
    return false;
  }

  std::span<const uint8_t> bytes_;
  size_t position_ = 0;
  bool failed_ = false;
};

} // namespace hl
