// Fuzzes what reads smaps texts, and what is made of them: whatever the text says, mappings are in order,
// every byte of each is in exactly one region, and no part of a number is lost or made up.
#include <cstdlib>
#include <string_view>

#include "memory_map/app_summary.h"
#include "memory_map/categories.h"
#include "memory_map/region_map.h"

using namespace hl;

namespace {

void check(bool holds) {
  if (!holds)
    std::abort();
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ResidencySample sample;
  // The first byte: a few pages and own ranges, so that mappings are split.
  const uint8_t shape = size != 0 ? data[0] : 0;
  if (size != 0)
    sample.smaps.assign(reinterpret_cast<const char*>(data) + 1, size - 1);
  sample.flags = (shape & 1) != 0 ? 0 : kResidencyNoPages;
  const Smaps smaps = parse_smaps(sample.smaps);
  if (!smaps.vmas.empty() && (shape & 2) != 0) {
    const Vma& vma = smaps.vmas[smaps.vmas.size() / 2];
    const uint64_t middle = vma.start + vma.bytes() / 2;
    if (middle > vma.start) {
      sample.own.push_back({vma.start, middle});
      sample.pages.push_back({vma.start, middle, static_cast<PageState>(shape >> 2 & 3)});
    }
  }
  const RegionMap map = make_region_map(sample, {});
  size_t next = 0;
  uint64_t before = 0;
  for (uint32_t i = 0; i < map.vmas.size(); ++i) {
    const Vma& vma = map.vmas[i];
    check(vma.start >= before && vma.start < vma.end);
    before = vma.end;
    uint64_t at = vma.start, rss = 0, pss = 0, swap = 0;
    for (; next < map.regions.size() && map.regions[next].vma == i; ++next) {
      check(map.regions[next].start == at && map.regions[next].end > at);
      at = map.regions[next].end;
      rss += map.regions[next].rss;
      pss += map.regions[next].pss;
      swap += map.regions[next].swap;
    }
    check(at == vma.end && rss == vma.numbers.rss && pss == vma.numbers.pss && swap == vma.numbers.swap);
  }
  check(next == map.regions.size());
  uint64_t categories = 0, total = 0;
  for (const auto& [name, numbers] : categories_of(map))
    categories += numbers.rss;
  for (const Vma& vma : map.vmas)
    total += vma.numbers.rss;
  check(categories == total);
  const AppSummary app = app_summary(map.vmas);
  check(app.total_pss == total_of(map.vmas).pss + total_of(map.vmas).swap_pss);
  return 0;
}
