// See utf8.h.
#include "renderers/utf8.h"

#include <cstdint>

namespace hl {

size_t utf8_length(std::string_view text) {
  const auto byte = [&text](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t first = byte(0);
  size_t length = first < 0x80   ? 1
                  : first < 0xc2 ? 0
                  : first < 0xe0 ? 2
                  : first < 0xf0 ? 3
                  : first < 0xf5 ? 4
                                 : 0;
  if (length == 0 || length > text.size())
    return 0;
  for (size_t i = 1; i < length; ++i)
    if ((byte(i) & 0xc0) != 0x80)
      return 0;
  if (first == 0xe0 && byte(1) < 0xa0)
    return 0;
  if (first == 0xed && byte(1) >= 0xa0)
    return 0;
  if (first == 0xf0 && byte(1) < 0x90)
    return 0;
  if (first == 0xf4 && byte(1) >= 0x90)
    return 0;
  return length;
}

} // namespace hl
