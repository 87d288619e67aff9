// See categories.h.
#include "memory_map/categories.h"

namespace hl {
namespace {

// ART names a dozen spaces and tables: the Java objects are one heap to everybody, the rest its upkeep.
std::string managed_category(std::string_view name) {
  constexpr std::string_view kDalvik = "dalvik-", kGo = "Go: ";
  constexpr std::string_view kJava[] = {"main space",       "alloc space",  "large object", "free list large",
                                        "non moving space", "zygote space", "art "};
  if (name.starts_with(kDalvik)) {
    name.remove_prefix(kDalvik.size());
    for (const std::string_view space : kJava)
      if (name.starts_with(space))
        return "dalvik-heap";
    if (name.ends_with(".art")) // a boot image
      return "dalvik-heap";
    return name.starts_with("jit-") || name.starts_with("data-code-cache") ? "dalvik-code" : "dalvik-other";
  }
  if (name.starts_with(kGo))
    return name.starts_with("Go: heap") ? "go-heap" : "go-other";
  return std::string(name);
}

template <typename From> void add_numbers(CategoryNumbers& to, const From& from) {
  to.rss += from.rss;
  to.pss += from.pss;
  to.private_clean += from.private_clean;
  to.private_dirty += from.private_dirty;
  to.shared_clean += from.shared_clean;
  to.shared_dirty += from.shared_dirty;
  to.swap += from.swap;
  to.swap_pss += from.swap_pss;
}

} // namespace

std::string category_of(const Region& region) {
  switch (region.kind) {
  case RegionKind::code:
    return "code";
  case RegionKind::read_only_data:
    return "read_only_data";
  case RegionKind::data:
  case RegionKind::bss:
    return "data";
  case RegionKind::heap_brk:
  case RegionKind::heap_arena:
  case RegionKind::heap_mapped:
  case RegionKind::heap_other:
    return "heap";
  case RegionKind::managed:
    return managed_category(region.name);
  case RegionKind::anonymous:
    return "anonymous";
  case RegionKind::file:
    return "file";
  case RegionKind::shared:
    return "shared";
  case RegionKind::device:
    return "device";
  case RegionKind::main_stack:
  case RegionKind::thread_stack:
    return "stack";
  case RegionKind::kernel:
    return "kernel";
  case RegionKind::own:
    return "heapledger";
  case RegionKind::unknown:
    break;
  }
  return "unknown";
}

void CategoryNumbers::add(const Region& region) {
  size += region.bytes();
  add_numbers(*this, region);
}

void CategoryNumbers::add(const CategoryNumbers& other) {
  size += other.size;
  add_numbers(*this, other);
}

Categories categories_of(const RegionMap& map) {
  Categories categories;
  for (const Region& region : map.regions)
    categories[category_of(region)].add(region);
  return categories;
}

} // namespace hl
