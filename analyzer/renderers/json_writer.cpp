// See json_writer.h.
#include "renderers/json_writer.h"

#include <charconv>
#include <cmath>

#include "renderers/utf8.h"

namespace hl {
namespace {

constexpr size_t kFlushBytes = 1u << 16;

} // namespace

void JsonWriter::flush() {
  std::fwrite(buffer_.data(), 1, buffer_.size(), out_);
  buffer_.clear();
}

void JsonWriter::separate() {
  if (needs_comma_)
    buffer_ += ',';
  needs_comma_ = true;
  if (buffer_.size() > kFlushBytes)
    flush();
}

JsonWriter& JsonWriter::open(char bracket) {
  separate();
  buffer_ += bracket;
  needs_comma_ = false;
  return *this;
}

JsonWriter& JsonWriter::close(char bracket) {
  buffer_ += bracket;
  needs_comma_ = true;
  return *this;
}

void JsonWriter::append_quoted(std::string_view text) {
  static constexpr char kDigits[] = "0123456789abcdef";
  buffer_ += '"';
  for (size_t i = 0; i < text.size();) {
    const char c = text[i];
    if (c == '"' || c == '\\') {
      buffer_ += '\\';
      buffer_ += c;
      ++i;
    } else if (static_cast<uint8_t>(c) < 0x20) {
      buffer_ += "\\u00";
      buffer_ += kDigits[c >> 4];
      buffer_ += kDigits[c & 15];
      ++i;
    } else if (const size_t length = utf8_length(text.substr(i)); length != 0) {
      buffer_ += text.substr(i, length);
      i += length;
    } else {
      buffer_ += "\xef\xbf\xbd";
      ++i;
    }
  }
  buffer_ += '"';
}

JsonWriter& JsonWriter::key(std::string_view name) {
  separate();
  append_quoted(name);
  buffer_ += ':';
  needs_comma_ = false;
  return *this;
}

JsonWriter& JsonWriter::value(std::string_view text) {
  separate();
  append_quoted(text);
  return *this;
}

JsonWriter& JsonWriter::value(uint64_t number) {
  separate();
  char digits[24];
  buffer_.append(digits, std::to_chars(digits, digits + sizeof digits, number).ptr);
  return *this;
}

JsonWriter& JsonWriter::value(int64_t number) {
  separate();
  char digits[24];
  buffer_.append(digits, std::to_chars(digits, digits + sizeof digits, number).ptr);
  return *this;
}

JsonWriter& JsonWriter::value(double number) {
  if (!std::isfinite(number))
    return null();
  separate();
  char digits[40];
  buffer_.append(digits, std::to_chars(digits, digits + sizeof digits, number).ptr);
  return *this;
}

JsonWriter& JsonWriter::value(bool flag) {
  separate();
  buffer_ += flag ? "true" : "false";
  return *this;
}

JsonWriter& JsonWriter::null() {
  separate();
  buffer_ += "null";
  return *this;
}

} // namespace hl
