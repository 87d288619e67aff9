// Bytes of memory as people read them.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace hl {

// "48 65 6c 6c 6f 00 ...  |Hello.|", 16 bytes a line, each line after `margin`.
std::string hex_lines(std::span<const uint8_t> bytes, const std::string& margin);
// "48656c6c6f00"
std::string hex_digits(std::span<const uint8_t> bytes);

} // namespace hl
