// Walks the pages of the allocator's regions once, from low to high addresses, and tells for each page that
// is there what lies on it. The one place where blocks, layout and residency meet: accounts and blame both
// listen.
#pragma once

#include "fragmentation/page_accounts.h"

namespace hl {

struct SweptPage {
  uint64_t start, end;                       // cut to the region
  uint32_t region;                           // index into RegionMap::regions
  uint64_t requested, slack, metadata, free; // resident bytes; their sum is end - start
  bool table;                                // one of the allocator's own lies on it
  bool top;                                  // behind the last block of a heap of glibc's
  bool never_used;    // no block was ever there, as far as is known: free bytes are the allocator's own
  uint64_t run_start; // of the memory that can only be given back as a whole; `start`: the page alone
  // Who keeps it: blocks on it, or in its run; none: it is empty.
  uint32_t first_keeper, last_keeper; // indices into PageSources::blocks, [first, last)
  bool kept() const { return first_keeper != last_keeper; }
  // Of an empty page: the free addresses around it, up to the blocks or tables beside them.
  uint64_t gap_start, gap_end;
};

class PageVisitor {
 public:
  virtual ~PageVisitor() = default;
  // What one block has on the page that page() tells next (or, swapped: on one that is swapped out).
  virtual void piece(const HeapBlock& block, uint64_t requested, uint64_t slack, bool swapped);
  virtual void page(const SweptPage& page) = 0;
  // Before the pages of a region: each block on it, with what it requested of the region's addresses.
  virtual void block(const HeapBlock& block, uint64_t requested, bool starts_here);
  // Likewise: addresses of it that belong to no block and no table, resident or not.
  virtual void gap(uint32_t region, uint64_t start, uint64_t end);
  // After the pages of a region: requested bytes of it that are on no resident page and not swapped.
  virtual void region_done(uint32_t region, uint64_t untouched, uint64_t swapped, uint32_t blocks);
};

void sweep_pages(const PageSources& sources, PageVisitor& visitor);

} // namespace hl
