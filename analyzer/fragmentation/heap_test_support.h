// Heaps made by hand for tests: regions, blocks, residency, without a trace.
#pragma once

#include <optional>
#include <random>

#include "fragmentation/page_accounts.h"

namespace hl::testing {

inline constexpr uint64_t kPage = 4096;

struct TestHeap {
  AllocatorKind allocator = AllocatorKind::glibc;
  std::vector<HeapBlock> blocks;
  std::optional<UsedPages> used;
  ResidencySample sample;
  RegionMap map;

  TestHeap() { sample.flags = kResidencyConsistent | kResidencyZeroPages; }

  // `resident`: all of it is there.
  Region& region(RegionKind kind, uint64_t start, uint64_t bytes, bool resident = true) {
    Vma& vma = map.vmas.emplace_back();
    vma.start = start;
    vma.end = start + bytes;
    Region& region = map.regions.emplace_back();
    region.start = start;
    region.end = start + bytes;
    region.kind = kind;
    if (resident) {
      sample.pages.push_back({start, start + bytes, PageState::anonymous});
      vma.numbers.rss = region.rss = bytes;
    }
    return region;
  }
  HeapBlock& block(uint64_t address, uint64_t size, uint64_t usable, uint32_t site = 1,
                   uint64_t birth_ticks = 0) {
    return blocks.emplace_back(HeapBlock{address, size, usable, birth_ticks, site, 0});
  }
  PageSources sources() const {
    return {.blocks = blocks,
            .sample = &sample,
            .map = &map,
            .allocator = allocator,
            .used = used ? &*used : nullptr};
  }
  PageAccounts accounts() const { return account_pages(sources()); }
};

// A heap of glibc's with blocks of random sizes and gaps, parts of it not resident or swapped.
inline TestHeap random_glibc_heap(std::mt19937_64& random, uint64_t start, uint64_t pages, uint32_t sites) {
  TestHeap heap;
  heap.region(RegionKind::heap_brk, start, pages * kPage, false);
  uint64_t at = start + (random() % 4 == 0 ? 16 : 0x2a0);
  while (true) {
    const uint64_t size = random() % 16 == 0 ? random() % 20000 : random() % 400;
    const uint64_t usable = predict_usable(UsablePredictor::glibc64, size);
    if (at + usable > start + pages * kPage)
      break;
    if (random() % 3 == 0)
      heap.block(at, size, usable, 1 + static_cast<uint32_t>(random() % sites), random() % 1000);
    at += usable + 8;
    if (random() % 40 == 0)
      at += (random() % 5) * kPage;
  }
  for (uint64_t page = 0; page < pages; ++page) {
    const auto kind = random() % 8;
    if (kind < 6) {
      heap.sample.pages.push_back({start + page * kPage, start + (page + 1) * kPage, PageState::anonymous});
      heap.map.vmas.front().numbers.rss += kPage;
    } else if (kind == 6) {
      heap.sample.pages.push_back({start + page * kPage, start + (page + 1) * kPage, PageState::swapped});
    }
  }
  return heap;
}

} // namespace hl::testing
