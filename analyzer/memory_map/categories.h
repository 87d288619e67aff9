// Regions put together by what they are: a dozen numbers that a time line can follow.
#pragma once

#include <map>
#include <string>

#include "memory_map/region_map.h"

namespace hl {

// "heap" (brk, arenas, mapped blocks, other allocators), "code", "read_only_data", "data" (with .bss),
// "anonymous", "file", "shared", "device", "stack", "kernel", "heapledger", "unknown"; managed heaps each by
// its own: "dart-heap", "v8-heap", "java-heap", "dalvik-heap"...
std::string category_of(const Region& region);

struct CategoryNumbers {
  uint64_t size = 0, rss = 0, pss = 0;
  uint64_t private_clean = 0, private_dirty = 0, shared_clean = 0, shared_dirty = 0, swap = 0, swap_pss = 0;
  void add(const Region& region);
  void add(const CategoryNumbers& other);
};

using Categories = std::map<std::string, CategoryNumbers>;
Categories categories_of(const RegionMap& map);

} // namespace hl
