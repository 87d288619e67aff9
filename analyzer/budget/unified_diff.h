// Two versions of a small text as a patch that `patch -p1` and `git apply` take.
#pragma once

#include <string>
#include <string_view>

namespace hl {

// Empty if the texts are equal. `path` is relative. An `old_text` of nullptr means that there was no file.
std::string unified_diff(const std::string& path, const std::string* old_text, const std::string& new_text);

} // namespace hl
