// Telling UTF-8 from other bytes: texts of a trace may hold anything, and what is written must not.
#pragma once

#include <cstddef>
#include <string_view>

namespace hl {

// Length of the UTF-8 sequence at the beginning of a text that is not empty; 0 if there is none (overlong
// forms and surrogates included).
size_t utf8_length(std::string_view text);

} // namespace hl
