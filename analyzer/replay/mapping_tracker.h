// The mappings a program made itself: mmap, munmap, mremap, and the names it gave them (prctl
// PR_SET_VMA_ANON_NAME, the way Dart and others name their heaps). Bytes mapped, not resident.
//
// Only calls that went through the shim are seen: the loader's and the allocator's own mappings are not.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "reader/extended_payload.h"

namespace hl {

struct MappingTotals {
  uint64_t map_calls = 0, unmap_calls = 0, remap_calls = 0, name_calls = 0;
  uint64_t names_refused = 0; // the kernel does not know PR_SET_VMA_ANON_NAME; the name counts all the same
  uint64_t mapped_bytes = 0;  // now
  uint64_t peak_bytes = 0;
  uint64_t peak_ticks = 0;
  uint64_t total_bytes = 0; // ever mapped
};

// Of one site or one name.
struct MappingUse {
  uint64_t calls = 0;
  uint64_t total_bytes = 0;
  uint64_t live_bytes = 0;
  uint64_t max_live_bytes = 0; // its own maximum, whenever it was
};

class MappingTracker {
 public:
  // `release`: the first half of a call that replaces or moves (see TraceEvent).
  void apply(ExtendedKind kind, bool release, const MappingCall& call, uint32_t site, uint64_t ticks);

  const MappingTotals& totals() const { return totals_; }
  const std::unordered_map<uint32_t, MappingUse>& by_site() const { return by_site_; }
  // Names; anonymous and file mappings without a name are "".
  struct Name {
    std::string name;
    MappingUse use;
  };
  const std::vector<Name>& by_name() const { return names_; }

  // visit(start, end, site, name) of what is mapped now, by address. `name`: given by prctl, may be empty.
  template <typename Visit> void for_each_range(Visit visit) const {
    for (const auto& [start, range] : ranges_)
      visit(start, range.end, range.site, std::string_view(names_[range.name].name));
  }

 private:
  struct Range {
    uint64_t end;
    uint32_t site;
    uint32_t name; // index into names_
  };
  using Ranges = std::map<uint64_t, Range>;

  void add(uint64_t start, uint64_t length, uint32_t site, uint32_t name, uint64_t ticks);
  // Takes [start, start + length) out; returns the site and name of its first byte's mapping.
  Range remove(uint64_t start, uint64_t length);
  void rename(uint64_t start, uint64_t length, uint32_t name, uint32_t site, uint64_t ticks);
  Ranges::iterator split(uint64_t at);
  uint32_t name_index(std::string_view name);
  MappingUse& use_of_name(uint32_t name) { return names_[name].use; }

  MappingTotals totals_;
  Ranges ranges_;
  std::vector<Name> names_{1};
  std::unordered_map<std::string, uint32_t> name_ids_;
  std::unordered_map<uint32_t, MappingUse> by_site_;
  Range moving_{0, 0, 0}; // what the first half of a mremap took out
};

} // namespace hl
