// The memory that an allocator can only give back as a whole: slabs of jemalloc, spans of tcmalloc, pages of
// mimalloc. Derived from a block's address and usable size alone; the rules are in docs/fragmentation.md.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "replay/heap_blocks.h"

namespace hl {

struct AllocatorRun {
  uint64_t start = 0, end = 0; // end 0: none
  bool operator==(const AllocatorRun&) const = default;
};

// Where the run that holds a block may lie. Usually one place; where the size class divides the allocator's
// page, several are possible, and no place is certain beyond what they share.
class RunPlaces {
 public:
  static constexpr size_t kMost = 8;
  void add(AllocatorRun run) {
    if (count_ < kMost)
      places_[count_++] = run;
  }
  std::span<const AllocatorRun> all() const { return {places_.data(), count_}; }
  bool empty() const { return count_ == 0; }
  // Lies in all of them. {0, 0}: there are none.
  AllocatorRun shared() const;
  // Without those that reach below `from` or above `to`; all as before if none would be left.
  RunPlaces within(uint64_t from, uint64_t to) const;

 private:
  std::array<AllocatorRun, kMost> places_;
  size_t count_ = 0;
};

inline constexpr uint64_t kJemallocPageBytes = 4096;
inline constexpr uint64_t kJemallocSlabLimit = 14336; // SC_SMALL_MAXCLASS
inline constexpr uint64_t kTcmallocPageBytes = 8192;
inline constexpr uint64_t kMimallocSegmentBytes = 32ull << 20;
inline constexpr uint64_t kMimallocSliceBytes = 64ull << 10;

RunPlaces jemalloc_places(const HeapBlock& block);
RunPlaces tcmalloc_places(const HeapBlock& block);
RunPlaces mimalloc_places(const HeapBlock& block);

// Pages of a span of that size class of gperftools' tcmalloc; 0: no class has that size.
uint32_t tcmalloc_span_pages(uint64_t usable);

} // namespace hl
