// See allocator_runs.h.
#include "fragmentation/allocator_runs.h"

#include <algorithm>
#include <bit>
#include <numeric>
#include <vector>

namespace hl {
namespace {

AllocatorRun touched(const HeapBlock& block, uint64_t unit) {
  const uint64_t last = block.address + std::max<uint64_t>(block.usable, 1) - 1;
  return {block.address & ~(unit - 1), (last | (unit - 1)) + 1};
}

// Places of a run of `units` units that begins with one of the units before the block and in which the block
// lies at a multiple of its size.
RunPlaces places_by_multiple(const HeapBlock& block, uint64_t unit, uint64_t units, uint64_t floor,
                             uint64_t ceiling) {
  RunPlaces places;
  uint64_t start = block.address & ~(unit - 1);
  for (uint64_t back = 0; back < units && start >= floor; ++back, start -= unit) {
    const uint64_t end = start + units * unit;
    if (end <= ceiling && block.end() <= end && (block.address - start) % block.usable == 0)
      places.add({start, end});
    if (start < unit)
      break;
  }
  return places;
}

struct SpanClass {
  uint32_t bytes, pages;
};

// SizeMap::Init() of gperftools 2.10 (src/common.cc) for pages of 8 KiB and its default transfer size: each
// class gets as many pages as waste at most an eighth and fill a quarter of a transfer to a thread's cache;
// sizes that give a span equally many objects are one class.
std::vector<SpanClass> make_span_classes() {
  constexpr uint32_t kLargest = 256u << 10, kPage = kTcmallocPageBytes, kTransfer = 32;
  std::vector<SpanClass> classes;
  uint32_t step = 8;
  for (uint32_t size = 8; size <= kLargest; size += step) {
    step = size >= 128 ? std::min(std::bit_floor(size) / 8, kPage) : size >= 16 ? 16 : 8;
    const uint32_t moved = std::clamp(65536 / size, 2u, kTransfer) / 4;
    uint32_t span = 0;
    do {
      span += kPage;
      while (span % size > span / 8)
        span += kPage;
    } while (span / size < moved);
    const uint32_t pages = span / kPage;
    if (!classes.empty() && classes.back().pages == pages && span / classes.back().bytes == span / size)
      classes.back().bytes = size;
    else
      classes.push_back({size, pages});
  }
  return classes;
}

} // namespace

AllocatorRun RunPlaces::shared() const {
  if (count_ == 0)
    return {};
  AllocatorRun run = places_[0];
  for (const AllocatorRun& place : all())
    run = {std::max(run.start, place.start), std::min(run.end, place.end)};
  return run;
}

RunPlaces RunPlaces::within(uint64_t from, uint64_t to) const {
  RunPlaces left;
  for (const AllocatorRun& place : all())
    if (place.start >= from && place.end <= to)
      left.add(place);
  return left.empty() ? *this : left;
}

// jemalloc 5.3: slabs hold regions of one size up to 14 KiB (SC_SMALL_MAXCLASS), and are as long as the least
// common multiple of that size and a page (slab_size() in src/sc.c). A region lies at a multiple of its size
// behind the slab's start, which is a page's: exactly one page before it can be that start.
RunPlaces jemalloc_places(const HeapBlock& block) {
  constexpr uint64_t kSmallest = 8;
  RunPlaces places;
  if (block.usable > kJemallocSlabLimit) {
    // An extent of its own, a page longer than the usable size, in which the block begins at any multiple of
    // a cache line within the first page (opt.cache_oblivious, on by default).
    const uint64_t start = block.address & ~(kJemallocPageBytes - 1);
    const uint64_t pages = (block.usable + kJemallocPageBytes - 1) & ~(kJemallocPageBytes - 1);
    places.add({start, start + pages + kJemallocPageBytes});
    return places;
  }
  if (block.usable < kSmallest || block.usable % 8 != 0)
    return places; // no size class: not jemalloc's, or damage
  const uint64_t slab = std::lcm(block.usable, kJemallocPageBytes);
  uint64_t start = block.address & ~(kJemallocPageBytes - 1);
  for (uint64_t back = 0; back < slab / kJemallocPageBytes; ++back, start -= kJemallocPageBytes)
    if ((block.address - start) % block.usable == 0) {
      places.add({start, start + slab});
      break;
    }
  return places;
}

uint32_t tcmalloc_span_pages(uint64_t usable) {
  static const std::vector<SpanClass> classes = make_span_classes();
  const auto found = std::lower_bound(classes.begin(), classes.end(), usable,
                                      [](const SpanClass& c, uint64_t size) { return c.bytes < size; });
  return found != classes.end() && found->bytes == usable ? found->pages : 0;
}

// gperftools: a span of the class's length, objects from its start on; larger blocks have spans of their own
// that end with them. Only the classes of 2, 4 and 8 KiB, two pages each, divide a page and leave two places.
RunPlaces tcmalloc_places(const HeapBlock& block) {
  RunPlaces places;
  if (const uint32_t pages = tcmalloc_span_pages(block.usable); pages > 1)
    places = places_by_multiple(block, kTcmallocPageBytes, pages, 0, UINT64_MAX);
  if (places.empty())
    places.add(touched(block, kTcmallocPageBytes));
  return places;
}

// mimalloc 2: slices of 64 KiB in segments of 32 MiB, whose first slice is their header. Blocks up to 16 KiB
// (MI_SMALL_OBJ_SIZE_MAX) share a page of one slice, up to 128 KiB one of eight; larger ones have the slices
// they touch to themselves. Aligned blocks may lie anywhere in theirs: then what they touch is certain.
RunPlaces mimalloc_places(const HeapBlock& block) {
  constexpr uint64_t kSmallLimit = 16u << 10, kMediumLimit = 128u << 10, kMediumSlices = 8;
  RunPlaces places;
  if (block.usable > kSmallLimit && block.usable <= kMediumLimit) {
    const uint64_t segment = block.address & ~(kMimallocSegmentBytes - 1);
    places = places_by_multiple(block, kMimallocSliceBytes, kMediumSlices, segment + kMimallocSliceBytes,
                                segment + kMimallocSegmentBytes);
  }
  if (places.empty())
    places.add(touched(block, kMimallocSliceBytes));
  return places;
}

} // namespace hl
