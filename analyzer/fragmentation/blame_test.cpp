// Who is blamed for stranded bytes, what moving blocks apart gives back, and the formulas.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

#include "fragmentation/blame.h"
#include "fragmentation/heap_test_support.h"
#include "fragmentation/measures.h"

using namespace hl;
using namespace hl::testing;

namespace {

std::vector<uint32_t> each_site_itself(uint32_t sites) {
  std::vector<uint32_t> owners(sites);
  std::iota(owners.begin(), owners.end(), 0u);
  return owners;
}

std::vector<Charge> blame(const TestHeap& heap, uint32_t sites = 8, std::span<const Ghost> ghosts = {}) {
  return blame_pages(heap.sources(), each_site_itself(sites), sites, ghosts);
}

} // namespace

TEST_CASE("[FREE 100][USED 200][FREE 100]: each formula and what it says") {
  TestHeap heap;
  heap.allocator = AllocatorKind::unknown;
  heap.region(RegionKind::heap_other, 0x10000, 400);
  heap.block(0x10000 + 100, 200, 200);
  const PageAccounts accounts = heap.accounts();
  // 1 - largest free / total free.
  CHECK(accounts.free_addresses == 200);
  CHECK(accounts.largest_free == 100);
  CHECK(*external_fragmentation(accounts) == doctest::Approx(0.5));
  // Stranded: all that is free lies on the page of the block.
  CHECK(accounts.small.bytes == AccountBytes{.requested = 200, .stranded = 200});
  // Johnstone and Wilson: before the frees 400 bytes were live, now 200, and 400 bytes are in use.
  const std::vector<HeapPoint> points = {{.ticks = 0, .live_bytes = 400, .footprint_bytes = 400},
                                         {.ticks = 10, .live_bytes = 200, .footprint_bytes = 400}};
  const Measures measures = measure(points, 400);
  CHECK(*measures.average == doctest::Approx(1.5));
  CHECK(*measures.at_peak_live == doctest::Approx(1.0));
  CHECK(*measures.at_peak_footprint == doctest::Approx(1.0));
  CHECK(*measures.peak_over_peak == doctest::Approx(1.0));
}

TEST_CASE("the four measures weigh time and tell the two peaks apart") {
  const std::vector<HeapPoint> points = {{.ticks = 0, .live_bytes = 100, .footprint_bytes = 200},
                                         {.ticks = 10, .live_bytes = 300, .footprint_bytes = 330},
                                         {.ticks = 20, .live_bytes = 50, .footprint_bytes = 400},
                                         {.ticks = 100, .live_bytes = 0, .footprint_bytes = 400}};
  const Measures measures = measure(points, 320);
  // Weights: 5, 10, 45; the last has nothing live.
  CHECK(*measures.average == doctest::Approx((5 * 2.0 + 10 * 1.1 + 45 * 8.0) / 60));
  CHECK(*measures.at_peak_live == doctest::Approx(1.1));
  CHECK(*measures.at_peak_footprint == doctest::Approx(8.0));
  CHECK(*measures.peak_over_peak == doctest::Approx(400.0 / 320));
  CHECK(measures.peak_live_point == 1);
  CHECK(measures.peak_footprint_point == 2);
  CHECK_FALSE(measure({}, 5).average.has_value());
}

TEST_CASE("every 256th of 65536 blocks kept: 256 pages, all charged to the site that kept them") {
  TestHeap heap;
  constexpr uint64_t kStart = 0x555555559000, kFirst = kStart + 0x2a0;
  heap.region(RegionKind::heap_brk, kStart, (65536 * 256 + 0x2a0 + kPage) & ~(kPage - 1));
  std::vector<Ghost> ghosts;
  for (uint64_t i = 0; i < 65536; ++i) {
    if (i % 256 == 0)
      heap.block(kFirst + i * 256, 240, 248, 3, 1000 + i);
    else
      ghosts.push_back({kFirst + i * 256, 248, 70000, 4, 9});
  }
  const PageAccounts accounts = heap.accounts();
  CHECK(accounts.small.pinned_pages == 256);
  const std::vector<Charge> charges = blame(heap, 8, ghosts);
  CHECK(charges[3].exclusive_bytes == accounts.small.bytes.stranded);
  CHECK(charges[3].shared_bytes == 0);
  CHECK(charges[3].survivors == 256);
  CHECK(charges[3].survivor_bytes == 256 * 240);
  CHECK(charges[3].exclusive_pages == 256);
  CHECK(charges[3].oldest_ticks == 1000);
  CHECK(charges[3].youngest_ticks == 1000 + 65280);
  // The page of the main thread's cache is the allocator's too.
  CHECK(charges[3].released_bytes == 255 * kPage);
  CHECK(charges[3].room_bytes == 16 * kPage);
  CHECK(charges[3].given_back() == 239 * kPage);
  REQUIRE(charges[3].makers.size() >= 1);
  CHECK(charges[3].makers[0].site == 4);
  CHECK(charges[3].makers[0].free_stack == 9);
  // Each page has 15 chunks' worth of holes; of each ghost's chunk the header is nobody's.
  CHECK(charges[3].makers[0].bytes > 256 * 14 * 248);

  const WhatIf apart = place_apart(heap.sources(), [](const HeapBlock& block) { return block.site == 3; });
  CHECK(apart.blocks == 256);
  CHECK(apart.requested == 256 * 240);
  CHECK(apart.released_bytes == 255 * kPage);
  CHECK(apart.room_bytes == 16 * kPage);
  CHECK(apart.small.bytes.resident() ==
        accounts.small.bytes.resident() - apart.released_bytes + apart.room_bytes);
  CHECK(apart.small.bytes.requested == accounts.small.bytes.requested);
  CHECK(apart.small.bytes.trimmable == accounts.small.bytes.trimmable);
  CHECK(apart.small.pinned_pages == 16);
}

TEST_CASE("a page that several sites keep is charged in equal parts, odd bytes to the first") {
  TestHeap heap;
  heap.allocator = AllocatorKind::unknown;
  heap.region(RegionKind::heap_other, 0x10000, kPage);
  heap.block(0x10000, 1000, 1000, 2);
  heap.block(0x10000 + 2000, 16, 16, 5);
  heap.block(0x10000 + 3000, 5, 5, 5);
  const std::vector<Charge> charges = blame(heap);
  CHECK(heap.accounts().small.bytes.stranded == 3075);
  CHECK(charges[2].shared_bytes == 1538);
  CHECK(charges[5].shared_bytes == 1537);
  CHECK(charges[2].exclusive_bytes == 0);
  CHECK(charges[2].released_bytes == 0);
  CHECK(charges[5].survivors == 2);
  // As one group they keep the page alone.
  const std::vector<uint32_t> together = {0, 0, 1, 0, 0, 1};
  const std::vector<Charge> grouped = blame_pages(heap.sources(), together, 2);
  CHECK(grouped[1].exclusive_bytes == 3075);
  CHECK(grouped[1].released_bytes == kPage);
  CHECK(grouped[1].room_bytes == kPage);
}

TEST_CASE("a hole is told by the block that was there last") {
  TestHeap heap;
  heap.allocator = AllocatorKind::unknown;
  heap.region(RegionKind::heap_other, 0x10000, kPage);
  heap.block(0x10000 + 1000, 96, 96, 1);
  const std::vector<Ghost> ghosts = {
      {0x10000, 4096, 10, 6, 0},       // long ago all of the page was one block
      {0x10000 + 100, 200, 20, 7, 77}, // later these
      {0x10000 + 2000, 100, 30, 6, 66},
      {0x10000 + 2050, 100, 40, 7, 77}, // over the end of the one before
  };
  const std::vector<Charge> charges = blame(heap, 8, ghosts);
  std::map<std::pair<uint32_t, uint32_t>, uint64_t> bytes;
  for (const HoleMaker& maker : charges[1].makers)
    bytes[{maker.site, maker.free_stack}] = maker.bytes;
  CHECK(bytes[{7, 77}] == 300);
  CHECK(bytes[{6, 66}] == 50);
  CHECK(bytes[{6, 0}] == 4096 - 96 - 350);
  CHECK(charges[1].makers.front().site == 6);
}

TEST_CASE("the table of ghosts keeps the last block at each address, and all of them while it has room") {
  GhostTable table;
  for (uint64_t round = 1; round <= 3; ++round)
    for (uint64_t i = 1; i <= 50000; ++i)
      table.add({i * 16, 16 * round, round * 100000 + i, static_cast<uint32_t>(round), 0});
  const std::vector<Ghost> ghosts = table.sorted();
  REQUIRE(ghosts.size() == 50000);
  CHECK(table.forgotten() == 0);
  for (uint64_t i = 1; i <= 50000; ++i) {
    CHECK(ghosts[i - 1].address == i * 16);
    CHECK(ghosts[i - 1].site == 3);
  }
}

TEST_CASE("in jemalloc a slab is charged as a whole, also its pages without a live block") {
  TestHeap heap;
  heap.allocator = AllocatorKind::jemalloc;
  constexpr uint64_t kStart = 0x7f0000200000;
  heap.region(RegionKind::heap_other, kStart, 16 * kPage);
  heap.block(kStart + 3 * kPage, 80, 80, 2);
  heap.block(kStart + 3 * kPage + 200 * 80, 80, 80, 4);
  const std::vector<Charge> charges = blame(heap);
  CHECK(charges[2].shared_bytes == (5 * kPage - 160) / 2);
  CHECK(charges[4].shared_bytes == (5 * kPage - 160) / 2);
  CHECK(charges[2].exclusive_bytes == 0);
}

TEST_CASE("random heaps: charges add up to the stranded bytes, exclusive ones are those of one site alone") {
  std::mt19937_64 random(4711);
  for (int round = 0; round < 60; ++round) {
    const uint64_t start = 0x555555000000 + (random() % 1024) * kPage;
    const TestHeap heap = random_glibc_heap(random, start, 20 + random() % 700, 1 + random() % 7);
    const PageAccounts accounts = heap.accounts();
    const std::vector<Charge> charges = blame(heap);
    uint64_t sum = 0;
    for (const Charge& charge : charges)
      sum += charge.stranded_bytes();
    CHECK(sum == accounts.small.bytes.stranded);

    // Page by page, the slow way.
    std::vector<uint64_t> exclusive(8), released(8), survivors(8);
    std::set<uint64_t> seen;
    for (const PageRange& run : heap.sample.pages) {
      if (run.state == PageState::swapped)
        continue;
      std::set<uint32_t> sites;
      std::vector<bool> taken(kPage);
      const auto take = [&](uint64_t from, uint64_t to) {
        bool any = false;
        for (uint64_t at = std::max(from, run.start); at < std::min(to, run.end); ++at)
          any = taken[at - run.start] = true;
        return any;
      };
      for (const HeapBlock& block : heap.blocks)
        if (take(block.address - 8, block.end()))
          sites.insert(block.site);
      const bool table = (heap.blocks.empty() || heap.blocks.front().address - 8 >= start + 0x290) &&
                         take(start, start + 0x290);
      const auto free = static_cast<uint64_t>(std::count(taken.begin(), taken.end(), false));
      if (sites.size() == 1) {
        exclusive[*sites.begin()] += free;
        released[*sites.begin()] += table ? 0 : kPage;
      }
      if (!sites.empty() && free != 0)
        for (const HeapBlock& block : heap.blocks)
          if (block.address - 8 < run.end && block.end() > run.start && seen.insert(block.address).second)
            ++survivors[block.site];
    }
    for (uint32_t site = 0; site < 8; ++site) {
      CHECK(charges[site].exclusive_bytes == exclusive[site]);
      CHECK(charges[site].released_bytes == released[site]);
      CHECK(charges[site].survivors == survivors[site]);
      const WhatIf apart =
          place_apart(heap.sources(), [site](const HeapBlock& block) { return block.site == site; });
      CHECK(apart.released_bytes == charges[site].released_bytes);
      CHECK(apart.room_bytes == charges[site].room_bytes);
      CHECK(apart.small.bytes.resident() + apart.released_bytes ==
            accounts.small.bytes.resident() + apart.room_bytes);
    }
  }
}
