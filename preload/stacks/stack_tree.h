// The stack tree: every distinct stack is a path of nodes (parent, module instance, pc) from the outermost
// frame inwards, and its innermost node's id is all that an event carries.
//
// Nodes live in the session file (NodeStorage); this is the index that finds an existing one, in private
// memory: lock-free, insert-only, and grown a piece at a time without stopping anybody.
//
//   directory    kDirectoryEntries words; the top bits of the hash choose one
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
//
// Before the hash, a hint: for each node, the child that was last asked for (4 bytes, indexed by id). A chain
// of frames that is met again is a chain of hints, and its nodes were made one after the other, so following
// it touches a few neighbouring lines where the hash would miss the cache once a frame. Only where the chain
// leaves the one last taken are the others asked: first a direct-mapped cache of recently found keys (512
// KiB, near the processor), which serves the nodes with many children, then the hash.
//
// Cost a node: 16 bytes itself, the hint 4, and slots of 4 bytes, of which 45 to 90 % are used: under 30 in
// all.
#pragma once

#include <atomic>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "platform/syscalls.h"
#include "stacks/node_storage.h"

namespace hl {

struct StackKey {
  uint32_t parent, module;
  uint64_t pc; // with kNodeExactPc, kNodeGuessed
};
static_assert(sizeof(StackKey) == 16);

// On x86 an aligned 16-byte load acquires and a store releases as any other does, but ThreadSanitizer does not
// see what assembly does.
#if defined(__SANITIZE_THREAD__)
extern "C" void __tsan_acquire(void*);
extern "C" void __tsan_release(void*);
inline void tsan_acquire(const void* p) { __tsan_acquire(const_cast<void*>(p)); }
inline void tsan_release(void* p) { __tsan_release(p); }
#else
inline void tsan_acquire(const void*) {}
inline void tsan_release(void*) {}
#endif

// Where index memory comes from, zeroed and page-aligned; tests replace it.
struct AnonymousMemory {
  static void* map(size_t bytes) { return sys::map_anonymous(bytes); }
  static void unmap(void* p, size_t bytes) { sys::unmap(p, bytes); }
  // The memory stays mapped and reads as zeros.
  static void clear(void* p, size_t bytes) {
    sys::raw_syscall(SYS_madvise, sys::pointer_arg(p), static_cast<long>(bytes), MADV_DONTNEED);
  }
};

template <typename Storage = NodeStorage, typename Memory = AnonymousMemory> class BasicStackTree {
 public:
  Storage storage;

  // The id of the node with this key, new or known. Without room for a new node: `parent` (the stack is then
  // cut at its inner end) and a count. Any thread, any signal handler, no lock.
  StackId intern(StackId parent, uint32_t module, uint64_t pc) {
    const StackKey key{parent, module, pc};
    std::atomic<StackId>* const hint = hint_of(parent);
    if (hint != nullptr) [[likely]] {
      // Acquire: pairs with the release below; the node was filled before it could be hinted at.
      const StackId child = hint->load(std::memory_order_acquire);
      const StackNode* const node = storage.node(child);
      if (node != nullptr && holds(*node, key)) [[likely]]
        return child;
    }
    const StackId id = intern_recent(key);
    if (hint != nullptr && id != parent)
      hint->store(id, std::memory_order_release);
    return id;
  }

  // Nodes that could not be made. Relaxed: a statistic.
  uint64_t refused() const { return refused_.load(std::memory_order_relaxed); }
  uint64_t index_bytes() const {
    return segments_.load(std::memory_order_relaxed) * sizeof(Segment) +
           hint_pages_.load(std::memory_order_relaxed) * sizeof(HintPage);
  }

  // For the child of a fork, before storage.init(): forgets the parent's nodes. No other thread may run. All
  // memory stays mapped: fork may have been called by a handler that interrupted intern(), which then goes
  // on.
  void reset() {
    Segment* last = nullptr;
    for (const auto& entry : directory_) {
      const Directory d = entry.load(std::memory_order_relaxed);
      // A segment stands at a run of entries; once is enough.
      if (d != 0 && segment_at(d) != last)
        Memory::clear(segment_at(d), sizeof(Segment));
      last = d != 0 ? segment_at(d) : nullptr;
    }
    for (const auto& entry : hints_) {
      if (HintPage* const page = entry.load(std::memory_order_relaxed))
        Memory::clear(page, sizeof(HintPage));
    }
    for (RecentNode& recent : recent_) {
      if (recent.value != 0)
        recent = RecentNode{};
    }
  }

 private:
  [[gnu::noinline]] StackId intern_recent(const StackKey& key) {
    if (key.module >= kRecentModules || ((key.pc & kNodePcMask) >> kRecentPcBits) != 0)
      return intern_by_hash(key);
    const uint64_t packed = key.pc | uint64_t{key.module} << kRecentPcBits;
    RecentNode* const recent =
        &recent_[((key.parent * 0x9e3779b97f4a7c15u) ^ (packed * 0xc2b2ae3d27d4eb4fu)) >> (64 - kRecentBits)];
    const RecentNode known = load_whole(recent);
    if (known.key == packed && known.value >> 32 == key.parent && known.value != 0)
      return static_cast<StackId>(known.value);
    const StackId id = intern_by_hash(key);
    if (id != key.parent)
      store_whole(recent, {packed, uint64_t{key.parent} << 32 | id});
    return id;
  }

  StackId intern_by_hash(const StackKey& key) {
    const uint64_t h = XXH3_64bits(&key, sizeof key);
    const Directory entry = directory_[directory_index(h)].load(std::memory_order_acquire);
    if (entry != 0) {
      const Segment* segment = segment_at(entry);
      for (const Bucket* bucket : {first_bucket(segment, h), second_bucket(segment, h)}) {
        if (StackId id = find_in(*bucket, h, key))
          return id;
      }
    }
    return insert(key, h);
  }

  // A key and its id in 16 bytes that are read and written by one instruction, so that a hit is exact without
  // a look at the node (another cache miss). Processors with AVX do aligned 16-byte moves in one piece (Intel
  // SDM vol. 3 9.1.1, AMD APM vol. 2 7.3.2); on others a torn entry could only arise with several threads,
  // and would have to match in all of parent, module and pc to be taken.
  struct alignas(16) RecentNode {
    uint64_t key;   // pc with its flags, module in bits kRecentPcBits...
    uint64_t value; // parent << 32 | id; 0 = empty
  };
  static constexpr unsigned kRecentBits = 15;
  static constexpr unsigned kRecentPcBits = 48;
  static constexpr uint32_t kRecentModules = 1u << 14;
  static RecentNode load_whole(const RecentNode* from) {
    __m128i both;
    asm volatile("movdqa %1, %0" : "=x"(both) : "m"(*from) : "memory");
    tsan_acquire(from);
    return __builtin_bit_cast(RecentNode, both);
  }
  static void store_whole(RecentNode* to, const RecentNode& node) {
    tsan_release(to);
    asm volatile("movdqa %1, %0" : "=m"(*to) : "x"(__builtin_bit_cast(__m128i, node)) : "memory");
  }

  struct HintPage {
    std::atomic<StackId> last_child[16384];
  };
  static constexpr uint32_t kHintPages = kNodeDirectoryEntries * kNodesPerBlock / 16384 + 1;

  // Where the last child of `parent` is kept; nullptr without memory for it.
  std::atomic<StackId>* hint_of(StackId parent) {
    const uint32_t page_index = parent / 16384;
    if (page_index >= kHintPages)
      return nullptr;
    HintPage* page = hints_[page_index].load(std::memory_order_acquire);
    if (page == nullptr) [[unlikely]] {
      page = make_hint_page(hints_[page_index]);
      if (page == nullptr)
        return nullptr;
    }
    return &page->last_child[parent % 16384];
  }
  [[gnu::noinline]] HintPage* make_hint_page(std::atomic<HintPage*>& entry) {
    auto* const page = static_cast<HintPage*>(Memory::map(sizeof(HintPage)));
    if (page == nullptr)
      return nullptr;
    HintPage* expected = nullptr;
    // Release: whoever sees the page sees it blank. A loser takes the winner's.
    if (entry.compare_exchange_strong(expected, page, std::memory_order_acq_rel)) {
      hint_pages_.fetch_add(1, std::memory_order_relaxed);
      return page;
    }
    Memory::unmap(page, sizeof(HintPage));
    return expected;
  }

  static bool holds(const StackNode& node, const StackKey& key) {
    // Relaxed pc: whoever led here did so by an acquire that made the filled node visible.
    return node.pc.load(std::memory_order_relaxed) == key.pc && node.parent == key.parent &&
           node.module == key.module;
  }

  static constexpr unsigned kDirectoryBits = 12;
  static constexpr uint32_t kDirectoryEntries = 1u << kDirectoryBits;
  static constexpr unsigned kBucketBits = 8;
  static constexpr unsigned kSlots = 16;
  static constexpr unsigned kIdBits = 23;
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
  static uint32_t bucket_index(uint64_t h) {
    return static_cast<uint32_t>(h >> (64 - kDirectoryBits - kBucketBits)) & ((1u << kBucketBits) - 1);
  }
  template <typename S> static auto first_bucket(S* s, uint64_t h) { return &s->buckets[bucket_index(h)]; }
  // From bits that neither the directory, nor the first bucket, nor the tag uses; never the first bucket
  // itself.
  template <typename S> static auto second_bucket(S* s, uint64_t h) {
    return &s->buckets[bucket_index(h) ^
                       (1 + ((h >> 32) & ((1u << kBucketBits) - 1)) % ((1u << kBucketBits) - 1))];
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

  StackId find_in(const Bucket& bucket, uint64_t h, const StackKey& key) const {
    for (uint32_t mask = slots_with_tag(bucket, h); mask; mask &= mask - 1) {
      // Acquire: pairs with the CAS in insert_in().
      const StackId id = id_in(bucket.slots[__builtin_ctz(mask)].load(std::memory_order_acquire));
      const StackNode* node = storage.node(id);
      if (node && holds(*node, key))
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
  static unsigned fill(const Bucket& bucket) {
    unsigned n = 0;
    for (const auto& slot : bucket.slots)
      n += slot.load(std::memory_order_relaxed) != 0;
    return n;
  }
  static bool insert_in_segment(Segment* segment, uint64_t h, StackId id) {
    Bucket* a = first_bucket(segment, h);
    Bucket* b = second_bucket(segment, h);
    // The emptier of the two keeps both usable for longer.
    if (fill(*b) < fill(*a)) {
      Bucket* t = a;
      a = b;
      b = t;
    }
    return insert_in(*a, h, id) || insert_in(*b, h, id);
  }

  [[gnu::noinline]] StackId insert(const StackKey& key, uint64_t h) {
    StackNode* node = nullptr;
    const StackId id = storage.allocate(node);
    if (id == 0) {
      refused_.fetch_add(1, std::memory_order_relaxed);
      return key.parent;
    }
    node->parent = key.parent;
    node->module = key.module;
    node->pc.store(key.pc, std::memory_order_release); // pairs with the recorder's acquire: pc last
    for (unsigned attempt = 0; attempt <= kDirectoryBits; ++attempt) {
      const Directory entry = directory_[directory_index(h)].load(std::memory_order_acquire);
      if (entry == 0) {
        if (!make_first_segment())
          break;
        continue;
      }
      if (insert_in_segment(segment_at(entry), h, id))
        break;
      if (!split(entry, h))
        break; // not indexed: the next one with this key makes another node
    }
    return id;
  }

  Segment* new_segment() {
    auto* segment = static_cast<Segment*>(Memory::map(sizeof(Segment)));
    if (segment)
      segments_.fetch_add(1, std::memory_order_relaxed);
    return segment;
  }
  void discard(Segment* segment) {
    Memory::unmap(segment, sizeof(Segment));
    segments_.fetch_sub(1, std::memory_order_relaxed);
  }

  bool make_first_segment() {
    Segment* segment = new_segment();
    if (segment == nullptr)
      return false;
    const Directory fresh = reinterpret_cast<uint64_t>(segment);
    bool used = false;
    // Entries that another thread has set meanwhile stay theirs: two segments then share depth 0, which is
    // fine.
    for (auto& entry : directory_) {
      Directory empty = 0;
      used |=
          entry.compare_exchange_strong(empty, fresh, std::memory_order_release, std::memory_order_relaxed);
    }
    if (!used)
      discard(segment);
    return true;
  }

  // Splits the segment of `old`, which hash h leads to. True if the directory now leads elsewhere or deeper.
  bool split(Directory old, uint64_t h) {
    const unsigned depth = static_cast<unsigned>(old & kDepthMask);
    if (depth >= kDirectoryBits)
      return false;
    Segment* from = segment_at(old);
    Segment* to = new_segment();
    if (to == nullptr)
      return false;
    // The slots do not hold the hash bits that choose directory entries; the node does.
    for (uint32_t b = 0; b < (1u << kBucketBits); ++b) {
      unsigned n = 0;
      for (auto& slot : from->buckets[b].slots) {
        const uint32_t v = slot.load(std::memory_order_acquire);
        if (v != 0 && goes_up(v, depth))
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
    if (!used) {
      discard(to); // somebody else has split it
      return true;
    }
    // Make room in the old segment. A slot inserted since the copy and lost here is a duplicate to come.
    for (auto& bucket : from->buckets) {
      for (auto& slot : bucket.slots) {
        uint32_t v = slot.load(std::memory_order_acquire);
        if (v != 0 && goes_up(v, depth))
          slot.compare_exchange_strong(v, 0, std::memory_order_relaxed);
      }
    }
    return true;
  }

  bool goes_up(uint32_t slot, unsigned depth) const {
    const StackNode* node = storage.node(id_in(slot));
    if (node == nullptr)
      return false;
    const StackKey key{node->parent, node->module, node->pc.load(std::memory_order_relaxed)};
    return (XXH3_64bits(&key, sizeof key) >> (63 - depth)) & 1;
  }

  std::atomic<Directory> directory_[kDirectoryEntries] = {};
  std::atomic<uint64_t> segments_{0};
  std::atomic<uint64_t> refused_{0};
  RecentNode recent_[1u << kRecentBits] = {};
  std::atomic<HintPage*> hints_[kHintPages] = {};
  std::atomic<uint64_t> hint_pages_{0};
};

using StackTree = BasicStackTree<>;

} // namespace hl
