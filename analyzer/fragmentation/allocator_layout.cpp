// See allocator_layout.h.
#include "fragmentation/allocator_layout.h"

#include <algorithm>
#include <numeric>

namespace hl {
namespace {

// jemalloc 5.3: slabs hold regions of one size up to 14 KiB (SC_SMALL_MAXCLASS), and are as long as the least
// common multiple of that size and a page (slab_size() in src/sc.c). A region lies at a multiple of its size
// behind the slab's start, which is a page's: exactly one page before it can be that start.
constexpr uint64_t kJemallocSmallest = 8, kJemallocSlabLimit = 14336;
constexpr uint64_t kJemallocPage = 4096;

AllocatorLayout::Run jemalloc_run(const HeapBlock& block) {
  if (block.usable > kJemallocSlabLimit) {
    // An extent of its own, a page longer than the usable size, in which the block begins at any multiple of
    // a cache line within the first page (opt.cache_oblivious, on by default).
    const uint64_t start = block.address & ~(kJemallocPage - 1);
    return {start, start + ((block.usable + kJemallocPage - 1) & ~(kJemallocPage - 1)) + kJemallocPage};
  }
  const uint64_t region_bytes = block.usable;
  if (region_bytes < kJemallocSmallest || region_bytes % 8 != 0)
    return {}; // no size class: not jemalloc's, or damage
  const uint64_t slab = std::lcm(region_bytes, kJemallocPage);
  uint64_t start = block.address & ~(kJemallocPage - 1);
  for (uint64_t back = 0; back < slab / kJemallocPage; ++back, start -= kJemallocPage)
    if ((block.address - start) % region_bytes == 0)
      return {start, start + slab};
  return {};
}

// mimalloc 2: blocks up to 16 KiB share a page of one 64 KiB slice; larger ones several slices, of which
// those the block touches are certain.
AllocatorLayout::Run mimalloc_run(const HeapBlock& block) {
  const uint64_t mask = kMimallocSliceBytes - 1;
  const uint64_t last = block.address + std::max<uint64_t>(block.usable, 1) - 1;
  return {block.address & ~mask, (last | mask) + 1};
}

// gperftools: spans are made of 8 KiB pages; how many of them a span has is not known from a block, so the
// pages it touches are what is certain.
AllocatorLayout::Run tcmalloc_run(const HeapBlock& block) {
  constexpr uint64_t kMask = 8192 - 1;
  const uint64_t last = block.address + std::max<uint64_t>(block.usable, 1) - 1;
  return {block.address & ~kMask, (last | kMask) + 1};
}

} // namespace

std::string_view to_string(AllocatorKind kind) {
  switch (kind) {
  case AllocatorKind::glibc:
    return "glibc";
  case AllocatorKind::jemalloc:
    return "jemalloc";
  case AllocatorKind::tcmalloc:
    return "tcmalloc";
  case AllocatorKind::mimalloc:
    return "mimalloc";
  case AllocatorKind::unknown:
    break;
  }
  return "unknown";
}

std::string_view to_string(Confidence confidence) {
  switch (confidence) {
  case Confidence::exact:
    return "exact";
  case Confidence::good:
    return "good";
  case Confidence::residency_only:
    return "residency only";
  case Confidence::assumed:
    break;
  }
  return "touched (assumed)";
}

AllocatorKind allocator_of(const TraceMetadata& metadata) {
  if (!metadata.has_header || metadata.header.pointer_bytes != 8)
    return AllocatorKind::unknown;
  switch (metadata.header.heap_kind) { // SessionProcess::heap_kind
  case 1:
    return AllocatorKind::glibc;
  case 2:
    return AllocatorKind::jemalloc;
  case 3:
    return AllocatorKind::tcmalloc;
  case 4:
    return AllocatorKind::mimalloc;
  default:
    return AllocatorKind::unknown;
  }
}

BlockExtent AllocatorLayout::extent(const HeapBlock& block) const {
  const uint64_t end = block.end();
  if (kind == AllocatorKind::glibc) {
    // Chunks are multiples of 16 bytes and share their last word with the next one's header, so usable sizes
    // are 8 more than a multiple of 16; those of chunks with a mapping of their own, which share nothing, are
    // multiples of 16, and the mapping begins at the page of the header and ends with the block.
    if (block.usable % 16 != 0)
      return {block.address - glibc_layout::kHeaderBytes, end, end};
    return {(block.address - glibc_layout::kMappedHeaderBytes) & ~(uint64_t{page_bytes} - 1), end, end};
  }
  if (kind == AllocatorKind::jemalloc && block.usable > kJemallocSlabLimit) {
    const Run extent = jemalloc_run(block);
    return {extent.start, end, extent.end};
  }
  return {block.address, end, end};
}

AllocatorLayout::Run AllocatorLayout::run(const HeapBlock& block) const {
  switch (kind) {
  case AllocatorKind::jemalloc:
    return jemalloc_run(block);
  case AllocatorKind::tcmalloc:
    return tcmalloc_run(block);
  case AllocatorKind::mimalloc:
    return mimalloc_run(block);
  case AllocatorKind::glibc:
  case AllocatorKind::unknown:
    break;
  }
  return {};
}

} // namespace hl
