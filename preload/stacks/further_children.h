// All children of a node but the first, by hash of their key: a table that grows a segment at a time without
// stopping anybody. Any thread, any signal handler, no lock; insert-only.
//
//   directory    kDirectoryEntries words; the top bits of the hash choose one; all 0 until the first split,
//                so that the many programs that need one segment are spared the pages of a directory
//   summary      the same for fewer bits of the hash, in a few lines of memory; 0 where those do not decide
//   segment      16 KiB: 256 buckets of sixteen slots, one cache line each
//   slot         hash tag (9 bits) | node id (23 bits); 0 = empty
//
// A key lives in one of two buckets of its segment, the emptier when it was added: so a segment fills to nine
// tenths before both are full for some key. Then the segment is split: a copy takes the half with the next
// hash bit set, the directory entries of that half are pointed at it, and those slots of the old one are
// cleared. An insertion that goes to the old segment meanwhile may be lost from the index; the next lookup of
// that key then makes a second node. That is tolerated (readers treat nodes with equal keys as one), cheap
// and rare, and it is what makes splitting possible without waiting. What may not happen, and cannot: a
// lookup that returns a node of another key, for the node itself is compared.
#pragma once

#include <atomic>
#include <stdint.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "heapledger/event.h"
#include "stacks/chain_cache.h"
#include "stacks/index_memory.h"
#include "stacks/node_storage.h"

namespace hl {

class FurtherChildren {
 public:
  static uint64_t hash_of(const StackKey& key) { return XXH3_64bits(&key, sizeof key); }

  // Asks the memory for where a key with this hash would be.
  void ask_for(uint64_t h) const {
    if (const Directory entry = entry_for(h))
      __builtin_prefetch(&segment_at(entry)->buckets[first_bucket(h)]);
  }

  // The node with this key, whose hash is `h`; 0: none.
  [[gnu::noinline]] StackId find(const NodeStorage& storage, const StackKey& key, uint64_t h) const {
    const Directory entry = entry_for(h);
    if (entry == 0)
      return 0;
    const Segment& segment = *segment_at(entry);
    const Bucket& second = segment.buckets[second_bucket(h)];
    __builtin_prefetch(&second);
    const StackId found = find_in(storage, segment.buckets[first_bucket(h)], h, key);
    return found != 0 ? found : find_in(storage, second, h, key);
  }

  // Adds a node whose key has this hash; returns its id. Without memory it is not indexed: the next one with
  // this key makes another node.
  [[gnu::noinline]] StackId add(const NodeStorage& storage, uint64_t h, StackId id) {
    for (unsigned attempt = 0; attempt <= kDirectoryBits; ++attempt) {
      const Directory entry = entry_for(h);
      if (entry == 0) {
        if (!prepare())
          break;
        continue;
      }
      if (insert_in_segment(segment_at(entry), h, id))
        break;
      if (!split(storage, entry, h))
        break;
    }
    return id;
  }

  // Maps the first segment; false without memory.
  bool prepare() {
    Segment* segment = new_segment();
    if (segment == nullptr)
      return false;
    Directory none = 0;
    // Release: pairs with the acquire of entry_for().
    if (!first_segment_.compare_exchange_strong(none, reinterpret_cast<uint64_t>(segment),
                                                std::memory_order_release, std::memory_order_relaxed))
      discard(segment); // somebody else has made it
    return true;
  }

  // Forgets all. No other thread may run; all memory stays mapped, see StackTree::reset().
  void reset() {
    Segment* last = segment_at(first_segment_.load(std::memory_order_relaxed));
    if (last != nullptr)
      IndexMemory::clear(last, sizeof(Segment));
    for (const auto& entry : directory_) {
      const Directory d = entry.load(std::memory_order_relaxed);
      if (d == 0)
        break; // filled from here on only by a split that has not begun
      // A segment stands at a run of entries; once is enough.
      if (segment_at(d) != last)
        IndexMemory::clear(segment_at(d), sizeof(Segment));
      last = segment_at(d);
    }
  }

  uint64_t bytes() const { return segments_.load(std::memory_order_relaxed) * sizeof(Segment); }

 private:
  static constexpr unsigned kDirectoryBits = 12;
  static constexpr uint32_t kDirectoryEntries = 1u << kDirectoryBits;
  // 1 KiB, where the directory is 32 and most look-ups would miss the cache for it.
  static constexpr unsigned kSummaryBits = 7;
  static constexpr uint32_t kSummaryEntries = 1u << kSummaryBits;
  static constexpr unsigned kBucketBits = 8;
  static constexpr unsigned kSlots = 16;
  static constexpr unsigned kIdBits = ChainCache::kIdBits;
  static_assert(NodeStorage::kMaxNodes < (1u << kIdBits));

  struct alignas(64) Bucket {
    std::atomic<uint32_t> slots[kSlots];
  };
  struct Segment {
    Bucket buckets[1u << kBucketBits];
  };
  static_assert(sizeof(Segment) == 16 * 1024);
  // Address of a segment (page-aligned) | number of hash bits that chose it; 0 = none yet.
  using Directory = uint64_t;
  static constexpr uint64_t kDepthMask = 0xff;

  static uint32_t directory_index(uint64_t h) { return static_cast<uint32_t>(h >> (64 - kDirectoryBits)); }
  // Never 0, so that an empty slot has no tag. From the low hash bits, which choose nothing else.
  static uint32_t tag(uint64_t h) {
    const uint32_t t = static_cast<uint32_t>(h) << kIdBits;
    return t ? t : 1u << kIdBits;
  }
  static StackId id_in(uint32_t slot) { return slot & ((1u << kIdBits) - 1); }
  static Segment* segment_at(Directory entry) { return reinterpret_cast<Segment*>(entry & ~kDepthMask); }
  static uint32_t first_bucket(uint64_t h) {
    return static_cast<uint32_t>(h >> (64 - kDirectoryBits - kBucketBits)) & ((1u << kBucketBits) - 1);
  }
  // From bits that neither the directory, nor the first bucket, nor the tag uses; never the first bucket
  // itself.
  static uint32_t second_bucket(uint64_t h) {
    return first_bucket(h) ^
           static_cast<uint32_t>(1 + ((h >> 32) & ((1u << kBucketBits) - 1)) % ((1u << kBucketBits) - 1));
  }

  // Bit i: slot i has this tag. A filter only, read without order: find_in() loads the slot again.
  static uint32_t slots_with_tag(const Bucket& bucket, uint64_t h) {
#if defined(__SSE2__) && !defined(__SANITIZE_THREAD__)
    const auto* line = reinterpret_cast<const __m128i*>(&bucket);
    const __m128i wanted = _mm_set1_epi32(static_cast<int>(tag(h)));
    const __m128i tag_mask = _mm_set1_epi32(-1 << kIdBits);
    const auto equal = [&](unsigned i) {
      return _mm_cmpeq_epi32(_mm_and_si128(_mm_load_si128(line + i), tag_mask), wanted);
    };
    const __m128i low = _mm_packs_epi32(equal(0), equal(1)), high = _mm_packs_epi32(equal(2), equal(3));
    return static_cast<uint32_t>(_mm_movemask_epi8(_mm_packs_epi16(low, high)));
#else
    uint32_t mask = 0;
    for (unsigned i = 0; i < kSlots; ++i) {
      const uint32_t v = bucket.slots[i].load(std::memory_order_relaxed);
      mask |= uint32_t{(v >> kIdBits) == (tag(h) >> kIdBits)} << i;
    }
    return mask;
#endif
  }

  static StackId find_in(const NodeStorage& storage, const Bucket& bucket, uint64_t h, const StackKey& key) {
    for (uint32_t mask = slots_with_tag(bucket, h); mask; mask &= mask - 1) {
      // Acquire: pairs with the CAS in insert_in().
      const StackId id = id_in(bucket.slots[__builtin_ctz(mask)].load(std::memory_order_acquire));
      if (storage.holds(id, key))
        return id;
    }
    return 0;
  }

  // Puts (h, id) into an empty slot; false when the bucket is full.
  static bool insert_in(Bucket& bucket, uint64_t h, StackId id) {
    for (auto& slot : bucket.slots) {
      uint32_t empty = 0;
      if (slot.load(std::memory_order_relaxed) == 0 &&
          // Release: whoever finds the slot (acquire) finds the node filled.
          slot.compare_exchange_strong(empty, tag(h) | id, std::memory_order_release,
                                       std::memory_order_relaxed))
        return true;
    }
    return false;
  }
  static unsigned used_slots(const Bucket& bucket) {
    unsigned n = 0;
    for (const auto& slot : bucket.slots)
      n += slot.load(std::memory_order_relaxed) != 0;
    return n;
  }
  static bool insert_in_segment(Segment* segment, uint64_t h, StackId id) {
    Bucket* a = &segment->buckets[first_bucket(h)];
    Bucket* b = &segment->buckets[second_bucket(h)];
    // The emptier of the two keeps both usable for longer.
    if (used_slots(*b) < used_slots(*a)) {
      Bucket* t = a;
      a = b;
      b = t;
    }
    return insert_in(*a, h, id) || insert_in(*b, h, id);
  }

  Segment* new_segment() {
    auto* segment = static_cast<Segment*>(IndexMemory::map(sizeof(Segment)));
    if (segment)
      segments_.fetch_add(1, std::memory_order_relaxed);
    return segment;
  }
  void discard(Segment* segment) {
    IndexMemory::unmap(segment, sizeof(Segment));
    segments_.fetch_sub(1, std::memory_order_relaxed);
  }

  // What leads to the segment of this hash; 0: none yet.
  Directory entry_for(uint64_t h) const {
    Directory entry = summary_[h >> (64 - kSummaryBits)].load(std::memory_order_acquire);
    if (entry == 0) [[unlikely]]
      entry = directory_[directory_index(h)].load(std::memory_order_acquire);
    return entry != 0 ? entry : first_segment_.load(std::memory_order_acquire);
  }

  // Puts what the directory says now in place of `old` in the summary: nothing, where one entry of the
  // summary would have to lead to several segments. Two splits at once may leave an older entry there: as if
  // an insertion went to the old segment, until that is full and comes here again.
  void summarize(Directory old, uint64_t h) {
    const unsigned depth = static_cast<unsigned>(old & kDepthMask);
    if (depth > kSummaryBits)
      return;
    const uint32_t run = kSummaryEntries >> depth;
    const uint32_t first = static_cast<uint32_t>(h >> (64 - kSummaryBits)) & ~(run - 1);
    for (uint32_t i = first; i < first + run; ++i) {
      const Directory now = directory_[i << (kDirectoryBits - kSummaryBits)].load(std::memory_order_acquire);
      Directory expected = depth == 0 ? 0 : old;
      // Release: as in split().
      summary_[i].compare_exchange_strong(expected, (now & kDepthMask) <= kSummaryBits ? now : 0,
                                          std::memory_order_release, std::memory_order_relaxed);
    }
  }

  // Before the first split. Entries that others have set meanwhile stay theirs.
  void fill_directory(Directory first) {
    for (auto& entry : directory_) {
      Directory empty = 0;
      entry.compare_exchange_strong(empty, first, std::memory_order_release, std::memory_order_relaxed);
    }
  }

  // Splits the segment of `old`, which hash h leads to. True if the directory now leads elsewhere or deeper.
  bool split(const NodeStorage& storage, Directory old, uint64_t h) {
    const unsigned depth = static_cast<unsigned>(old & kDepthMask);
    if (depth >= kDirectoryBits)
      return false;
    Segment* from = segment_at(old);
    Segment* to = new_segment();
    if (to == nullptr)
      return false;
    if (depth == 0)
      fill_directory(old);
    // The slots do not hold the hash bits that choose directory entries; the node does.
    for (uint32_t b = 0; b < (1u << kBucketBits); ++b) {
      for (auto& slot : from->buckets[b].slots)
        __builtin_prefetch(storage.node(id_in(slot.load(std::memory_order_relaxed))));
      unsigned n = 0;
      for (auto& slot : from->buckets[b].slots) {
        const uint32_t v = slot.load(std::memory_order_acquire);
        if (v != 0 && goes_up(storage, v, depth))
          to->buckets[b].slots[n++].store(v, std::memory_order_relaxed);
      }
    }
    const uint32_t run = kDirectoryEntries >> depth; // entries that lead to `from`
    const uint32_t first = directory_index(h) & ~(run - 1);
    const Directory lower = old + 1;
    const Directory upper = reinterpret_cast<uint64_t>(to) | (depth + 1);
    bool used = false;
    for (uint32_t i = first + run / 2; i < first + run; ++i) {
      Directory expected = old;
      // Release: pairs with the acquire load of the entry; the copied slots are visible before the segment
      // is.
      used |= directory_[i].compare_exchange_strong(expected, upper, std::memory_order_acq_rel,
                                                    std::memory_order_acquire);
    }
    for (uint32_t i = first; i < first + run / 2; ++i) {
      Directory expected = old;
      directory_[i].compare_exchange_strong(expected, lower, std::memory_order_acq_rel,
                                            std::memory_order_acquire);
    }
    summarize(old, h);
    if (!used) {
      discard(to); // somebody else has split it
      return true;
    }
    // Make room in the old segment. A slot inserted since the copy and lost here is a duplicate to come.
    for (uint32_t b = 0; b < (1u << kBucketBits); ++b) {
      unsigned n = 0;
      for (auto& slot : from->buckets[b].slots) {
        uint32_t v = slot.load(std::memory_order_relaxed);
        if (v != 0 && n < kSlots && v == to->buckets[b].slots[n].load(std::memory_order_relaxed)) {
          ++n;
          slot.compare_exchange_strong(v, 0, std::memory_order_relaxed);
        }
      }
    }
    return true;
  }

  static bool goes_up(const NodeStorage& storage, uint32_t slot, unsigned depth) {
    const StackNode* node = storage.node(id_in(slot));
    if (node == nullptr)
      return false;
    const StackKey key{node->parent, node->module, node->pc.load(std::memory_order_relaxed)};
    return (hash_of(key) >> (63 - depth)) & 1;
  }

  std::atomic<Directory> first_segment_{0};
  std::atomic<Directory> summary_[kSummaryEntries] = {}; // 0: look into the directory
  std::atomic<Directory> directory_[kDirectoryEntries] = {};
  std::atomic<uint64_t> segments_{0};
};

} // namespace hl
