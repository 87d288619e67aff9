// Mangled names to readable ones: Rust's legacy scheme first, then C++.
//
// Rust goes first because its legacy names are valid C++ names and would come out with their hash. Rust's v0
// scheme (_R...) is left as it is. C++ uses the runtime's own demangler, where possible through its streaming
// entry, so that a name built to expand exponentially is cut off (kMaxDemangledBytes) instead of eating the
// machine. GCC's demangler refuses names over 1024 characters; callers then fall back to a shorter name.
#pragma once

#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "symbols/string_pool.h"

namespace hl {

constexpr size_t kMaxDemangledBytes = 64 * 1024;

// The readable form, or "" if the name is not mangled, is malformed or grows beyond bounds.
std::string demangle(std::string_view linkage_name);

// Demangles each distinct name once for all threads.
class Demangler {
 public:
  explicit Demangler(StringPool& pool) : pool_(pool) {}
  // The interned readable form; `fallback` if there is none.
  StringId demangled(StringId linkage_name, StringId fallback);

 private:
  StringPool& pool_;
  std::mutex mutex_;
  std::unordered_map<uint32_t, StringId> known_; // kEmpty: cannot be demangled
};

} // namespace hl
