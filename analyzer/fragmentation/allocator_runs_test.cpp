// Where the runs of blocks lie, by the rules of the allocators. The sizes are those that gperftools 2.10 and
// mimalloc 2.0.9 themselves name (GetEstimatedAllocatedSize, mi_good_size).
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include "fragmentation/allocator_runs.h"
#include "fragmentation/heap_test_support.h"

using namespace hl;
using namespace hl::testing;

namespace {

constexpr uint64_t kSpans = 0x555555600000;
constexpr uint64_t kSegment = 0x7f0002000000; // at a multiple of 32 MiB
constexpr uint64_t kTcmallocPage = 8192, kSlice = 65536;

HeapBlock at(uint64_t address, uint64_t usable) {
  return {address, usable, usable, 0, 1, 0};
}

} // namespace

TEST_CASE("tcmalloc's classes are the ones it has, and their spans as long as it makes them") {
  static constexpr uint64_t kClasses[] = {
      8,      16,     32,     48,     64,     80,     96,     112,    128,    144,    160,    176,    192,
      208,    224,    240,    256,    288,    320,    352,    384,    416,    448,    480,    512,    576,
      640,    704,    768,    896,    1024,   1152,   1280,   1408,   1536,   1792,   2048,   2304,   2560,
      2816,   3072,   3328,   4096,   4608,   5120,   6144,   6656,   8192,   9216,   10240,  12288,  13312,
      16384,  20480,  24576,  26624,  32768,  40960,  49152,  57344,  65536,  73728,  81920,  90112,  98304,
      106496, 114688, 122880, 131072, 139264, 147456, 155648, 163840, 172032, 180224, 188416, 196608, 204800,
      212992, 221184, 229376, 237568, 245760, 253952, 262144};
  size_t found = 0;
  for (uint64_t size = 1; size <= 300000; ++size)
    found += tcmalloc_span_pages(size) != 0 ? 1 : 0;
  CHECK(found == std::size(kClasses));
  for (const uint64_t size : kClasses)
    CHECK(tcmalloc_span_pages(size) * kTcmallocPage >= size);
  CHECK(tcmalloc_span_pages(240) == 1);
  CHECK(tcmalloc_span_pages(1024) == 1);
  CHECK(tcmalloc_span_pages(1152) == 2);
  CHECK(tcmalloc_span_pages(6144) == 3);
  CHECK(tcmalloc_span_pages(262144) == 32);
}

TEST_CASE("a block of tcmalloc's tells its span") {
  // The eighth of fourteen in two pages begins in the first and ends in the second.
  const RunPlaces two = tcmalloc_places(at(kSpans + 7 * 1152, 1152));
  REQUIRE(two.all().size() == 1);
  CHECK(two.shared() == AllocatorRun{kSpans, kSpans + 2 * kTcmallocPage});
  // 2 KiB divide a page: the span may begin here or a page before.
  const RunPlaces several = tcmalloc_places(at(kSpans + 2048, 2048));
  CHECK(several.all().size() == 2);
  CHECK(several.shared() == AllocatorRun{kSpans, kSpans + kTcmallocPage});
  CHECK(several.within(kSpans, UINT64_MAX).shared() == AllocatorRun{kSpans, kSpans + 2 * kTcmallocPage});
  // More than 256 KiB: a span of its own; so with sizes that are no class (aligned blocks).
  CHECK(tcmalloc_places(at(kSpans, 270336)).shared() == AllocatorRun{kSpans, kSpans + 270336});
  CHECK(tcmalloc_places(at(kSpans + 100, 77)).shared() == AllocatorRun{kSpans, kSpans + kTcmallocPage});
}

TEST_CASE("a block of mimalloc's tells its page") {
  CHECK(mimalloc_places(at(kSegment + kSlice + 0x180, 256)).shared() ==
        AllocatorRun{kSegment + kSlice, kSegment + 2 * kSlice});
  // 20 KiB, the second of 25 in eight slices: five slices on, the remainders are the same, but too near the
  // end.
  const RunPlaces medium = mimalloc_places(at(kSegment + 4 * kSlice + 20480, 20480));
  REQUIRE(!medium.empty());
  CHECK(medium.all().front() == AllocatorRun{kSegment + 4 * kSlice, kSegment + 12 * kSlice});
  // 64 KiB may be any of eight; only its own slice is certain, and the header's slice is none of them.
  CHECK(mimalloc_places(at(kSegment + 20 * kSlice, 65536)).all().size() == 8);
  CHECK(mimalloc_places(at(kSegment + 2 * kSlice, 65536)).all().size() == 2);
  CHECK(mimalloc_places(at(kSegment + 20 * kSlice, 65536)).shared() ==
        AllocatorRun{kSegment + 20 * kSlice, kSegment + 21 * kSlice});
  // Large ones have their slices to themselves.
  CHECK(mimalloc_places(at(kSegment + 20 * kSlice, 200000)).shared() ==
        AllocatorRun{kSegment + 20 * kSlice, kSegment + 24 * kSlice});
}

TEST_CASE("wrong addresses and sizes give no run that does not hold the block") {
  for (const uint64_t address : {uint64_t{0}, uint64_t{1}, kSegment - 1, UINT64_MAX - 100, UINT64_MAX})
    for (const uint64_t usable : {uint64_t{0}, uint64_t{1}, uint64_t{2048}, uint64_t{20480}, uint64_t{65536}})
      for (const auto places : {tcmalloc_places, mimalloc_places, jemalloc_places}) {
        const RunPlaces found = places(at(address, usable));
        CHECK(found.all().size() <= RunPlaces::kMost);
        for (const AllocatorRun& run : found.all())
          if (run.end > run.start && address + usable >= address)
            CHECK(run.start <= address);
      }
}

TEST_CASE("a neighbour of another size narrows the places of a span") {
  TestHeap heap;
  heap.allocator = AllocatorKind::tcmalloc;
  heap.region(RegionKind::heap_brk, kSpans, 16 * kTcmallocPage);
  heap.block(kSpans + 100 * 64, 64, 64);
  heap.block(kSpans + kTcmallocPage, 2048, 2048); // so its span begins here
  const PageAccounts accounts = heap.accounts();
  CHECK(accounts.small.pinned_pages == 3 * kTcmallocPage / kPage);
  CHECK(accounts.small.bytes.stranded == 3 * kTcmallocPage - 64 - 2048);
}

TEST_CASE("the header of a segment of mimalloc's is a table, its other empty slices can go") {
  TestHeap heap;
  heap.allocator = AllocatorKind::mimalloc;
  heap.region(RegionKind::heap_other, kSegment, 4 * kSlice);
  heap.block(kSegment + kSlice + 0x180, 200, 224);
  const AccountBytes bytes = heap.accounts().small.bytes;
  CHECK(bytes.metadata == kSlice);
  CHECK(bytes.stranded == kSlice - 224);
  CHECK(bytes.trimmable == 2 * kSlice);
}
