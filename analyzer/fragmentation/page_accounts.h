// The resident bytes of the allocator's regions at one moment, each in exactly one account.
//
//   resident == requested + slack + metadata + stranded + held + trimmable + top       (for every region, and
//   in
//                                                                                      sum, at both page
//                                                                                      sizes)
//
//   requested  live bytes as the program asked for them
//   slack      usable - requested of live blocks
//   metadata   chunk headers, padding, arena and segment headers, as far as the layout is known
//   stranded   free bytes on pages that a live block keeps: the page it lies on; where the allocator gives
//   back
//              only whole runs (jemalloc's slabs), every page of its run
//   held       free bytes on pages that only the allocator's own tables keep
//   trimmable  free bytes on pages with nothing live on them, but for
//   top        those behind the last block of a heap of glibc's, which go back by themselves
//
// "Free" is what is in no block that was live: glibc's bins, fast bins and thread caches alike, jemalloc's
// dirty and muzzy extents, memory never handed out. Requested bytes on pages that are not there are in no
// account but beside them (untouched, swapped).
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "fragmentation/allocator_layout.h"
#include "memory_map/region_map.h"
#include "reader/memory_samples.h"
#include "replay/heap_blocks.h"
#include "replay/used_pages.h"

namespace hl {

struct AccountBytes {
  uint64_t requested = 0, slack = 0, metadata = 0, stranded = 0, held = 0, trimmable = 0, top = 0;
  uint64_t resident() const { return requested + slack + metadata + stranded + held + trimmable + top; }
  uint64_t free() const { return stranded + held + trimmable + top; }
  void add(const AccountBytes& other);
  bool operator==(const AccountBytes&) const = default;
};

// The accounts seen with pages of one size. With larger pages than the system's: as if it gave memory back by
// those alone.
struct PageGrain {
  uint64_t page_bytes = 0;
  AccountBytes bytes;
  uint64_t resident_pages = 0; // with anything resident
  uint64_t pinned_pages = 0;   // of them kept by a live block
  uint64_t empty_pages = 0;    // of them with nothing live and no table: trimmable and top
  // Pages with a live block on them, by the share of the page that is requested bytes: (0, 10 %] ... (90, 100
  // %].
  std::array<uint64_t, 10> occupancy{};
};

struct RegionAccounts {
  uint32_t region = 0;                 // index into RegionMap::regions
  AccountBytes bytes;                  // their sum is the region's resident pages
  uint64_t untouched = 0, swapped = 0; // requested bytes on pages that are not resident
  uint32_t blocks = 0;
};

// What one site has on resident pages.
struct SiteBytes {
  uint64_t requested = 0, slack = 0; // on resident pages
  uint64_t untouched = 0, swapped = 0;
  uint64_t blocks = 0;
};

struct PageAccounts {
  AllocatorKind allocator = AllocatorKind::unknown;
  Confidence confidence = Confidence::residency_only;
  PageGrain small; // the system's pages: page_bytes of the sample
  PageGrain huge;  // 2 MiB
  uint64_t untouched = 0, swapped = 0;
  std::vector<RegionAccounts> regions; // of the allocator, by address
  std::vector<SiteBytes> sites;        // by site, as long as the greatest site with a block; may be shorter
  // What malloc_trim(0) would give back, by its own rule (mtrim and systrim in malloc.c): whole pages inside
  // free chunks behind the chunk's header, and of the main heap's top. An upper bound by what thread caches
  // hold, which it leaves alone. Only of glibc.
  uint64_t malloc_trim = 0;
  // Free addresses of the heaps, resident or not, for 1 - largest / total; blocks with a mapping of their own
  // apart.
  uint64_t free_addresses = 0, largest_free = 0;
  uint64_t blocks = 0;                                // live blocks in those regions
  uint64_t blocks_elsewhere = 0, bytes_elsewhere = 0; // live blocks (requested) in none of them
};

struct PageSources {
  std::span<const HeapBlock> blocks;       // by address, at the sample's moment
  const ResidencySample* sample = nullptr; // nullptr: no residency; `map` then is assumed_map(blocks)
  const RegionMap* map = nullptr;
  AllocatorKind allocator = AllocatorKind::unknown;
  // nullptr: not known. With it, pages of allocators other than glibc that never held a block count as
  // metadata; glibc's layout tells.
  const UsedPages* used = nullptr;
  // Blocks that were taken away in thought: no table of the allocator's lies where they were.
  std::span<const HeapBlock> removed = {};
};

PageAccounts account_pages(const PageSources& sources);

// For traces without samples: the pages that blocks touch, as regions, all resident.
RegionMap assumed_map(std::span<const HeapBlock> blocks, uint32_t page_bytes);

} // namespace hl
