// What the name of a mapping says: the kernel's ("[stack]", a path), or one that the program gave it by prctl
// (PR_SET_VMA_ANON_NAME), which smaps shows as "[anon:NAME]" where the kernel knows how.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "memory_map/region_map.h"

namespace hl {

struct NamedKind {
  RegionKind kind = RegionKind::unknown;
  std::string name;
  uint32_t tid = 0; // of a stack that says whose it is
};

// A name given by prctl, without "[anon:" and "]".
NamedKind kind_of_given_name(std::string_view name);
// A name in smaps that is not a file's. nullopt: it is a file's, or empty.
std::optional<NamedKind> kind_of_kernel_name(std::string_view name);

// "libc.so.6" of "/usr/lib/libc.so.6".
std::string_view file_part(std::string_view path);
// "libfoo.so", "libfoo.so.1.2": a library also where nothing of it is executable.
bool is_library_name(std::string_view path);

} // namespace hl
