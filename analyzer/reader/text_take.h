// Takes apart lines that the kernel wrote (/proc/PID/maps, smaps): each takes what it recognises off the
// front.
#pragma once

#include <charconv>
#include <cstdint>
#include <string_view>

namespace hl {

inline bool take_number(std::string_view& text, int base, uint64_t& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out, base);
  if (error != std::errc())
    return false;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return true;
}

inline bool take_char(std::string_view& text, char c) {
  if (text.empty() || text.front() != c)
    return false;
  text.remove_prefix(1);
  return true;
}

} // namespace hl
