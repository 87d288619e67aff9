// See allocator_layout.h.
#include "fragmentation/allocator_layout.h"

namespace hl {
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
    const AllocatorRun extent = jemalloc_places(block).shared();
    return {extent.start, end, extent.end};
  }
  return {block.address, end, end};
}

RunPlaces AllocatorLayout::run_places(const HeapBlock& block) const {
  switch (kind) {
  case AllocatorKind::jemalloc:
    return jemalloc_places(block);
  case AllocatorKind::tcmalloc:
    return tcmalloc_places(block);
  case AllocatorKind::mimalloc:
    return mimalloc_places(block);
  case AllocatorKind::glibc:
  case AllocatorKind::unknown:
    break;
  }
  return {};
}

} // namespace hl
