// Building short texts in a fixed buffer, where stdio cannot be used.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace hl {

class Text {
 public:
  Text(char* buffer, size_t room) : buffer_(buffer), room_(room) { buffer_[0] = '\0'; }

  Text& add(const char* s) {
    while (*s != '\0')
      put(*s++);
    return *this;
  }
  Text& add_number(uint64_t v) {
    char digits[20];
    unsigned n = 0;
    do
      digits[n++] = static_cast<char>('0' + v % 10);
    while ((v /= 10) != 0);
    while (n != 0)
      put(digits[--n]);
    return *this;
  }
  bool truncated() const { return truncated_; }

 private:
  void put(char c) {
    if (used_ + 1 >= room_) {
      truncated_ = true;
      return;
    }
    buffer_[used_++] = c;
    buffer_[used_] = '\0';
  }

  char* buffer_;
  size_t room_;
  size_t used_ = 0;
  bool truncated_ = false;
};

} // namespace hl
