// See hex_text.h.
#include "renderers/hex_text.h"

#include <algorithm>

namespace hl {
namespace {

constexpr size_t kBytesALine = 16;

void put_hex(std::string& out, uint8_t byte) {
  constexpr char kDigits[] = "0123456789abcdef";
  out += kDigits[byte >> 4];
  out += kDigits[byte & 15];
}

} // namespace

std::string hex_lines(std::span<const uint8_t> bytes, const std::string& margin) {
  std::string out;
  for (size_t at = 0; at < bytes.size(); at += kBytesALine) {
    const auto line = bytes.subspan(at, std::min(kBytesALine, bytes.size() - at));
    std::string hex, text;
    for (const uint8_t byte : line) {
      put_hex(hex, byte);
      hex += ' ';
      text += byte >= 0x20 && byte < 0x7f ? static_cast<char>(byte) : '.';
    }
    hex.resize(3 * kBytesALine, ' ');
    out += margin + hex + " |" + text + "|\n";
  }
  return out;
}

std::string hex_digits(std::span<const uint8_t> bytes) {
  std::string out;
  for (const uint8_t byte : bytes)
    put_hex(out, byte);
  return out;
}

} // namespace hl
