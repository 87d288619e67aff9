// The accounts of resident pages: on heaps one can count by hand, and against counting byte by byte.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <map>
#include <numeric>

#include "fragmentation/heap_test_support.h"

using namespace hl;
using namespace hl::testing;

namespace {

// Counts the slow way: what is each single byte?
struct Oracle {
  struct Byte {
    char what = 'f'; // r requested, s slack, m metadata, t table, f free
    bool resident = false, swapped = false;
  };
  AccountBytes small, huge;
  uint64_t untouched = 0, swapped = 0, pinned = 0;

  Oracle(const TestHeap& heap, const std::vector<std::pair<uint64_t, uint64_t>>& runs,
         const std::vector<std::pair<uint64_t, uint64_t>>& tables) {
    const Region& region = heap.map.regions.front();
    std::vector<Byte> bytes(region.bytes());
    const auto paint = [&](uint64_t from, uint64_t to, char what, bool over = true) {
      for (uint64_t at = std::max(from, region.start); at < std::min(to, region.end); ++at)
        if (over || bytes[at - region.start].what == 'f')
          bytes[at - region.start].what = what;
    };
    const bool glibc = heap.allocator == AllocatorKind::glibc;
    uint64_t last_tail = region.start;
    for (size_t i = 0; i < heap.blocks.size(); ++i) {
      const HeapBlock& b = heap.blocks[i];
      const uint64_t limit = i + 1 < heap.blocks.size() ? heap.blocks[i + 1].address : ~uint64_t{0};
      if (glibc)
        paint(b.address - 8, b.address, 'm', false);
      paint(b.address + b.size, std::min(b.end(), limit), 's');
      paint(b.address, std::min(b.address + b.size, limit), 'r');
      last_tail = b.end();
    }
    for (const auto& [from, to] : tables)
      paint(from, to, 't');
    for (const PageRange& run : heap.sample.pages)
      for (uint64_t at = run.start; at < run.end; ++at) {
        bytes[at - region.start].resident = run.state != PageState::swapped;
        bytes[at - region.start].swapped = run.state == PageState::swapped;
      }
    for (const Byte& byte : bytes) {
      untouched += byte.what == 'r' && !byte.resident && !byte.swapped;
      swapped += byte.what == 'r' && byte.swapped;
    }
    std::vector<bool> page_kept(region.bytes() / kPage);
    for (size_t page = 0; page < page_kept.size(); ++page) {
      for (uint64_t at = page * kPage; at < (page + 1) * kPage; ++at) {
        const char what = bytes[at].what;
        if (what == 'r' || what == 's' || what == 'm')
          page_kept[page] = true;
      }
      for (const auto& [from, to] : runs)
        if (region.start + page * kPage >= from && region.start + page * kPage < to)
          page_kept[page] = true;
    }
    for (const uint64_t grain : {kPage, uint64_t{2} << 20}) {
      AccountBytes& sums = grain == kPage ? small : huge;
      for (uint64_t base = region.start & ~(grain - 1); base < region.end; base += grain) {
        uint64_t free = 0, top = 0;
        bool kept = false, table = false;
        for (uint64_t at = std::max(base, region.start); at < std::min(base + grain, region.end); ++at) {
          const Byte& byte = bytes[at - region.start];
          if (!byte.resident)
            continue;
          const uint64_t page = (at - region.start) / kPage;
          kept |= page_kept[page];
          table |= byte.what == 't';
          sums.requested += byte.what == 'r';
          sums.slack += byte.what == 's';
          sums.metadata += byte.what == 'm' || byte.what == 't';
          if (byte.what == 'f')
            ++(glibc && !page_kept[page] && region.start + page * kPage >= last_tail ? top : free);
        }
        if (kept)
          sums.stranded += free + top;
        else if (table)
          sums.held += free + top;
        else {
          sums.trimmable += free;
          sums.top += top;
        }
        pinned += grain == kPage && kept ? 1 : 0;
      }
    }
  }
};

void check_against(const Oracle& oracle, const TestHeap& heap) {
  const PageAccounts accounts = heap.accounts();
  CHECK(accounts.small.bytes == oracle.small);
  CHECK(accounts.huge.bytes == oracle.huge);
  CHECK(accounts.untouched == oracle.untouched);
  CHECK(accounts.swapped == oracle.swapped);
  CHECK(accounts.small.pinned_pages == oracle.pinned);
  uint64_t resident = 0;
  for (const PageRange& run : heap.sample.pages)
    resident += run.state != PageState::swapped ? run.end - run.start : 0;
  CHECK(accounts.small.bytes.resident() == resident);
  CHECK(accounts.huge.bytes.resident() == resident);
  CHECK(accounts.small.resident_pages * kPage == resident);
  CHECK(std::accumulate(accounts.small.occupancy.begin(), accounts.small.occupancy.end(), uint64_t{0}) ==
        accounts.small.pinned_pages);
  SiteBytes sites;
  for (const SiteBytes& site : accounts.sites) {
    sites.requested += site.requested;
    sites.slack += site.slack;
    sites.untouched += site.untouched;
    sites.swapped += site.swapped;
  }
  CHECK(sites.requested == accounts.small.bytes.requested);
  CHECK(sites.slack == accounts.small.bytes.slack);
  CHECK(sites.untouched == accounts.untouched);
  CHECK(sites.swapped == accounts.swapped);
}

} // namespace

TEST_CASE("a heap of glibc's splits into requested, slack, headers, stranded, trimmable and top") {
  TestHeap heap;
  constexpr uint64_t kStart = 0x555555559000;
  heap.region(RegionKind::heap_brk, kStart, 8 * kPage);
  // The main thread's cache is the first chunk; one block on page 0, one on page 3, the rest is free.
  heap.block(kStart + 0x2a0, 100, 104);
  heap.block(kStart + 3 * kPage + 0x10, 200, 200);
  const PageAccounts accounts = heap.accounts();
  const AccountBytes& bytes = accounts.small.bytes;
  CHECK(accounts.confidence == Confidence::exact);
  CHECK(bytes.requested == 300);
  CHECK(bytes.slack == 4);
  CHECK(bytes.metadata == 0x290 + 8 + 8);
  CHECK(bytes.stranded == 2 * kPage - 300 - 4 - 0x290 - 16);
  CHECK(bytes.trimmable == 2 * kPage);
  CHECK(bytes.top == 4 * kPage);
  CHECK(bytes.held == 0);
  CHECK(bytes.resident() == 8 * kPage);
  CHECK(accounts.small.pinned_pages == 2);
  CHECK(accounts.small.occupancy[0] == 2); // 100 and 200 of 4096
  CHECK(accounts.huge.bytes.stranded == 8 * kPage - 300 - 4 - 0x290 - 16);
  // mtrim: the gap between the blocks begins within page 0 and ends within page 3, so pages 1 and 2; systrim:
  // the top begins within page 3.
  CHECK(accounts.malloc_trim == 2 * kPage + 4 * kPage);
}

TEST_CASE("a page on which only the allocator's own tables lie is held by nobody") {
  TestHeap heap;
  constexpr uint64_t kArena = 0x7f80c4000000;
  heap.region(RegionKind::heap_arena, kArena, 33 * kPage);
  heap.block(kArena + 2 * kPage + 16, 1000, 1000);
  const PageAccounts accounts = heap.accounts();
  // heap_info, malloc_state and the first thread's cache: the first block of a new arena is at 0xb70.
  CHECK(accounts.small.bytes.metadata == 0xb60 + 8);
  CHECK(accounts.small.bytes.held == kPage - 0xb60);
  CHECK(accounts.small.bytes.trimmable == kPage);
  CHECK(accounts.small.bytes.stranded == kPage - 1008);
  CHECK(accounts.small.bytes.top == 30 * kPage);
  CHECK(accounts.malloc_trim == kPage); // it leaves the top of further arenas alone
}

TEST_CASE("a block with a mapping of its own owns all of it") {
  TestHeap heap;
  constexpr uint64_t kStart = 0x7f80c8bad000;
  heap.region(RegionKind::heap_mapped, kStart, 49 * kPage);
  heap.block(kStart + 0x10, 200000, 200688);
  const PageAccounts accounts = heap.accounts();
  CHECK(accounts.small.bytes == AccountBytes{.requested = 200000, .slack = 688, .metadata = 16});
  CHECK(accounts.small.pinned_pages == 49);
}

TEST_CASE("what was never touched is beside the accounts, not in them") {
  TestHeap heap;
  constexpr uint64_t kStart = 0x7f80c8bad000;
  heap.region(RegionKind::heap_mapped, kStart, 49 * kPage, false);
  heap.sample.pages.push_back({kStart, kStart + 2 * kPage, PageState::anonymous});
  heap.sample.pages.push_back({kStart + 2 * kPage, kStart + 3 * kPage, PageState::swapped});
  heap.block(kStart + 0x10, 200000, 200688);
  const PageAccounts accounts = heap.accounts();
  CHECK(accounts.small.bytes.resident() == 2 * kPage);
  CHECK(accounts.small.bytes.requested == 2 * kPage - 16);
  CHECK(accounts.swapped == kPage);
  CHECK(accounts.untouched == 200000 - 3 * kPage + 16);
}

TEST_CASE("zero pages are no residency, whether or not the kernel tells them apart") {
  TestHeap heap;
  constexpr uint64_t kStart = 0x7f80c8bad000;
  heap.region(RegionKind::heap_mapped, kStart, 49 * kPage, false);
  heap.sample.flags = kResidencyConsistent;
  heap.sample.pages.push_back({kStart, kStart + kPage, PageState::anonymous});
  heap.sample.pages.push_back({kStart + kPage, kStart + 9 * kPage, PageState::shared_anonymous});
  heap.block(kStart + 0x10, 200000, 200688);
  heap.map.vmas.front().numbers.rss = kPage; // read pages only: smaps counts none of them
  CHECK(heap.accounts().small.bytes.resident() == kPage);
  heap.map.vmas.front().numbers.rss = 9 * kPage; // shared with a forked child
  CHECK(heap.accounts().small.bytes.resident() == 9 * kPage);
}

TEST_CASE("without pagemap no more than the kernel's Rss is counted, blocks first") {
  TestHeap heap;
  constexpr uint64_t kStart = 0x555555559000;
  heap.region(RegionKind::heap_brk, kStart, 100 * kPage, false).rss = 3 * kPage;
  heap.sample.flags = kResidencyNoPages;
  heap.block(kStart + 10 * kPage + 0x10, 5000, 5000 - 5000 % 16 + 24);
  const PageAccounts accounts = heap.accounts();
  CHECK(accounts.confidence == Confidence::assumed);
  CHECK(accounts.small.bytes.resident() == 3 * kPage);
  CHECK(accounts.small.bytes.requested == 5000);
  CHECK(accounts.small.pinned_pages == 2);
}

TEST_CASE("without any sample the pages that blocks touch are what is known") {
  TestHeap heap;
  heap.block(0x555555560010, 5000, 5016);
  heap.block(0x555555570ff0, 24, 24);
  heap.map = assumed_map(heap.blocks, kPage);
  PageSources sources = heap.sources();
  sources.sample = nullptr;
  const PageAccounts accounts = account_pages(sources);
  CHECK(accounts.confidence == Confidence::assumed);
  CHECK(accounts.small.bytes.resident() == 4 * kPage);
  CHECK(accounts.small.pinned_pages == 4);
  CHECK(accounts.small.bytes.trimmable == 0);
}

TEST_CASE("jemalloc keeps a slab while one of its regions lives") {
  TestHeap heap;
  heap.allocator = AllocatorKind::jemalloc;
  constexpr uint64_t kStart = 0x7f0000200000;
  heap.region(RegionKind::heap_other, kStart, 16 * kPage);
  // Regions of 80 bytes: slabs of lcm(80, 4096) = 5 pages. The slab is at page 3; its region 200 lives.
  heap.block(kStart + 3 * kPage + 200 * 80, 70, 80);
  const PageAccounts accounts = heap.accounts();
  CHECK(accounts.confidence == Confidence::good);
  CHECK(accounts.small.bytes.requested == 70);
  CHECK(accounts.small.bytes.slack == 10);
  CHECK(accounts.small.bytes.stranded == 5 * kPage - 80);
  CHECK(accounts.small.pinned_pages == 5);
  CHECK(accounts.small.bytes.trimmable == 11 * kPage);
}

TEST_CASE("pages that never held a block are the allocator's own") {
  TestHeap heap;
  heap.allocator = AllocatorKind::jemalloc;
  constexpr uint64_t kStart = 0x7f0000200000;
  heap.region(RegionKind::heap_other, kStart, 16 * kPage);
  heap.block(kStart, 4096, 4096);
  heap.used.emplace().note(kStart + 8 * kPage, 4096);
  const AccountBytes bytes = heap.accounts().small.bytes;
  CHECK(bytes.requested == kPage);
  CHECK(bytes.trimmable == kPage);
  CHECK(bytes.metadata == 14 * kPage);
}

TEST_CASE("random heaps: every byte is in the account that counting one by one puts it in") {
  std::mt19937_64 random(20261122);
  for (int round = 0; round < 40; ++round) {
    const uint64_t start = 0x555555000000 + (random() % 1024) * kPage;
    TestHeap heap = random_glibc_heap(random, start, 20 + random() % 900, 5);
    std::vector<std::pair<uint64_t, uint64_t>> tables;
    if (heap.blocks.empty() || heap.blocks.front().address - 8 >= start + 0x290)
      tables.push_back({start, start + 0x290});
    check_against(Oracle(heap, {}, tables), heap);
  }
}

TEST_CASE("random heaps of overlapping blocks still sum up") {
  std::mt19937_64 random(7);
  for (int round = 0; round < 40; ++round) {
    TestHeap heap = random_glibc_heap(random, 0x555555000000, 60, 5);
    heap.allocator = AllocatorKind::unknown;
    for (HeapBlock& block : heap.blocks)
      if (random() % 8 == 0)
        block.usable += random() % 9000, block.size = block.usable - random() % 30 % block.usable;
    check_against(Oracle(heap, {}, {}), heap);
    heap.allocator = AllocatorKind::glibc; // sizes no glibc gives: only the sums must hold
    const PageAccounts accounts = heap.accounts();
    CHECK(accounts.small.bytes.resident() == accounts.huge.bytes.resident());
    CHECK(accounts.small.bytes.resident() == accounts.small.resident_pages * kPage);
  }
}

TEST_CASE("random slabs of jemalloc against counting one by one") {
  std::mt19937_64 random(99);
  static constexpr uint64_t kClasses[] = {8, 48, 64, 80, 320, 640, 1792, 4096, 5120, 14336};
  for (int round = 0; round < 40; ++round) {
    TestHeap heap;
    heap.allocator = AllocatorKind::jemalloc;
    constexpr uint64_t kStart = 0x7f0000345000;
    const uint64_t pages = 400;
    heap.region(RegionKind::heap_other, kStart, pages * kPage, false);
    std::vector<std::pair<uint64_t, uint64_t>> runs;
    for (uint64_t at = kStart; true;) {
      const uint64_t size = kClasses[random() % std::size(kClasses)];
      const uint64_t slab = std::lcm(size, kPage);
      at += random() % 3 * kPage;
      if (at + slab > kStart + pages * kPage)
        break;
      bool alive = false;
      const uint64_t odds = 1 + random() % 300;
      for (uint64_t region = at; region < at + slab; region += size)
        if (random() % odds == 0) {
          heap.block(region, 1 + random() % size, size);
          alive = true;
        }
      if (alive)
        runs.push_back({at, at + slab});
      at += slab;
    }
    for (uint64_t page = 0; page < pages; ++page)
      if (random() % 4 != 0)
        heap.sample.pages.push_back(
            {kStart + page * kPage, kStart + (page + 1) * kPage, PageState::anonymous});
    check_against(Oracle(heap, runs, {}), heap);
  }
}
