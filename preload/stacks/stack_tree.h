// The stack tree: every distinct stack is a path of nodes (parent, module instance, pc) from the outermost
// frame inwards, and its innermost node's id is all that an event carries.
//
// Nodes live in the session file (NodeStorage); this is what finds an existing one, in private memory:
// lock-free, insert-only, and grown a piece at a time without stopping anybody. Three ways, in this order:
//
// 1. A whole chain of frames at once, in a cache of chains met lately (chain_cache.h).
// 2. Each node's first child, by the node's id (4 bytes a node). Most nodes have no other: they never enter
//    the index, and since the nodes of a new stack are made one after the other, making or following them
//    touches a few neighbouring lines where a hash would miss the cache once a frame. Their ids are taken all
//    at once, and the whole run is found by others from when its first node is.
// 3. For all further children, a hash index:
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
//
// Cost a node: 16 bytes itself, 4 for its first child, and for a further child a slot of 4 bytes, of which 45
// to 90 % are used: under 30 in all.
#pragma once

#include <algorithm>
#include <atomic>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "platform/own_memory.h"
#include "platform/syscalls.h"
#include "stacks/chain_cache.h"
#include "stacks/node_storage.h"

namespace hl {

struct StackKey {
  uint32_t parent, module;
  uint64_t pc; // with kNodeExactPc, kNodeGuessed
};
static_assert(sizeof(StackKey) == 16);

// Where index memory comes from, zeroed and page-aligned; tests replace it.
struct AnonymousMemory {
  static void* map(size_t bytes) {
    void* const p = sys::map_anonymous(bytes);
    if (p != nullptr)
      note_own_memory(p, bytes);
    return p;
  }
  static void unmap(void* p, size_t bytes) {
    forget_own_memory(p, bytes);
    sys::unmap(p, bytes);
  }
  // The memory stays mapped and reads as zeros.
  static void clear(void* p, size_t bytes) {
    sys::raw_syscall(SYS_madvise, sys::pointer_arg(p), static_cast<long>(bytes), MADV_DONTNEED);
  }
};

template <typename Storage = NodeStorage, typename Memory = AnonymousMemory> class BasicStackTree {
 public:
  Storage storage;

  // Maps what the first thousands of nodes need: later a sandbox may kill who maps memory.
  void prepare() {
    first_child_of(0);
    make_first_segment();
  }

  // The id of the node with this key, new or known. Without room for a new node: `parent` (the stack is then
  // cut at its inner end) and a count. Any thread, any signal handler, no lock.
  StackId intern(StackId parent, uint32_t module, uint64_t pc) {
    const StackKey key{parent, module, pc};
    Gap gap;
    if (const StackId found = find(key, gap))
      return found;
    const StackId made = make_node(key);
    return made == 0 ? parent : publish(made, key, gap);
  }

  // A chain of frames below `parent`: find_chain() with their hash, then intern_chain() with the frames, the
  // outermost first: chain.size() of them with module(i) and pc(i); it tells each node's id by set_node(i,
  // id) and returns the last. What the first has asked for comes from memory meanwhile: check there what else
  // has to be checked.
  struct ChainProbe {
    uint64_t hash;
    StackId candidate;
    const StackNode* node; // the candidate's
  };
  ChainProbe find_chain(StackId parent, const ChainHash& frames) const {
    const uint64_t hash = frames.below(parent);
    const StackId candidate = chains_.candidate(hash);
    const ChainProbe probe{hash, candidate, storage.node(candidate)};
    __builtin_prefetch(probe.node);
    return probe;
  }
  template <typename Chain> StackId intern_chain(StackId parent, Chain& chain, const ChainProbe& probe) {
    if (chain.size() == 0)
      return parent;
    if (is_chain(parent, chain, probe.candidate, probe.node)) [[likely]]
      return probe.candidate;
    return intern_chain_slowly(parent, chain, probe);
  }

  // Nodes that could not be made. Relaxed: a statistic.
  uint64_t refused() const { return refused_.load(std::memory_order_relaxed); }
  uint64_t index_bytes() const {
    return segments_.load(std::memory_order_relaxed) * sizeof(Segment) +
           child_pages_.load(std::memory_order_relaxed) * sizeof(ChildPage);
  }

  // For the child of a fork, before storage.init(): forgets the parent's nodes. No other thread may run. All
  // memory stays mapped: fork may have been called by a handler that interrupted intern(), which then goes
  // on.
  void reset() {
    Segment* last = segment_at(first_segment_.load(std::memory_order_relaxed));
    if (last != nullptr)
      Memory::clear(last, sizeof(Segment));
    for (const auto& entry : directory_) {
      const Directory d = entry.load(std::memory_order_relaxed);
      if (d == 0)
        break; // filled from here on only by a split that has not begun
      // A segment stands at a run of entries; once is enough.
      if (segment_at(d) != last)
        Memory::clear(segment_at(d), sizeof(Segment));
      last = segment_at(d);
    }
    for (const auto& entry : first_children_) {
      if (ChildPage* const page = entry.load(std::memory_order_relaxed))
        Memory::clear(page, sizeof(ChildPage));
    }
    chains_.clear();
  }

 private:
  // Is `id` the innermost node of this chain below `parent`? Goes outwards and tells the nodes on the way.
  template <typename Chain>
  bool is_chain(StackId parent, Chain& chain, StackId id, const StackNode* node) const {
    uint32_t before = NodeStorage::nodes_before(id); // in the same block
    for (uint32_t i = chain.size(); i-- > 0;) {
      // Relaxed pc: see holds(). A node was filled after all those outside it.
      if (node == nullptr || node->pc.load(std::memory_order_relaxed) != chain.pc(i) ||
          node->module != chain.module(i))
        return false;
      chain.set_node(i, id);
      const uint32_t step = id - node->parent;
      id = node->parent;
      if (step <= before) [[likely]] {
        node -= step;
        before -= step;
      } else {
        node = storage.node(id);
        before = NodeStorage::nodes_before(id);
      }
    }
    return id == parent;
  }

  template <typename Chain>
  [[gnu::noinline]] StackId intern_chain_slowly(StackId parent, Chain& chain, const ChainProbe& probe) {
    for (unsigned slot = 1; slot < ChainCache::kWays; ++slot) {
      const StackId other = chains_.candidate_in(probe.hash, slot);
      if (other != 0 && other != probe.candidate && is_chain(parent, chain, other, storage.node(other)))
        return other;
    }
    StackId id = parent;
    uint32_t i = 0;
    while (i < chain.size()) {
      const StackKey key{id, chain.module(i), chain.pc(i)};
      if (i == 0)
        ask_for_further_children(key); // a node that one walk has turned off at has others below it already
      Gap gap;
      StackId next = find(key, gap);
      if (next == 0) {
        // Below a new node there is nothing yet: all frames from here on are new.
        const uint32_t run = std::min(chain.size() - i, NodeStorage::kLongestRun);
        const StackId made = make_nodes(id, chain, i, run);
        if (made == 0)
          return intern_while_there_is_room(id, chain, i);
        next = publish(made, key, gap);
        if (next == made) {
          i += run;
          id = made + run - 1;
          continue;
        }
        // Another thread has made that frame meanwhile. What was made here stays unused.
      }
      chain.set_node(i++, next);
      id = next;
    }
    chains_.put(probe.hash, id);
    return id;
  }

  // Frames [i, chain.size()) below `parent`, one by one.
  template <typename Chain>
  [[gnu::noinline]] StackId intern_while_there_is_room(StackId parent, Chain& chain, uint32_t i) {
    for (; i < chain.size(); ++i) {
      parent = intern(parent, chain.module(i), chain.pc(i));
      chain.set_node(i, parent);
    }
    return parent;
  }

  // Where a node that is not there yet belongs: at the place of its parent's first child, or, if
  // `first_child` is null, into the index under `hash`.
  struct Gap {
    std::atomic<StackId>* first_child;
    uint64_t hash;
  };

  // The id of the node with this key; 0: there is none, and it belongs into `gap`.
  [[gnu::always_inline]] StackId find(const StackKey& key, Gap& gap) {
    std::atomic<StackId>* const first = first_child_of(key.parent);
    if (first != nullptr) [[likely]] {
      // Acquire: pairs with publish(); the node was filled before it became a child.
      const StackId child = first->load(std::memory_order_acquire);
      if (child == 0) {
        gap = {first, 0};
        return 0;
      }
      if (is(child, key))
        return child;
    }
    gap = {nullptr, hash_of(key)};
    return find_further_child(key, gap.hash);
  }

  // Lets others find `made`; returns it, or the node that another thread has made with the same key.
  StackId publish(StackId made, const StackKey& key, const Gap& gap) {
    if (gap.first_child == nullptr)
      return index_node(gap.hash, made);
    StackId child = 0;
    // Release: whoever finds the child finds it and all below it filled.
    if (gap.first_child->compare_exchange_strong(child, made, std::memory_order_release,
                                                 std::memory_order_acquire))
      return made;
    // If with the same key, the node just made is a duplicate that nobody uses.
    return is(child, key) ? child : index_node(hash_of(key), made);
  }

  static uint64_t hash_of(const StackKey& key) { return XXH3_64bits(&key, sizeof key); }

  void ask_for_further_children(const StackKey& key) const {
    const uint64_t h = hash_of(key);
    if (const Directory entry = entry_for(h))
      __builtin_prefetch(first_bucket(segment_at(entry), h));
  }

  [[gnu::noinline]] StackId find_further_child(const StackKey& key, uint64_t h) const {
    const Directory entry = entry_for(h);
    if (entry == 0)
      return 0;
    const Bucket* const second = second_bucket(segment_at(entry), h);
    __builtin_prefetch(second);
    const StackId found = find_in(*first_bucket(segment_at(entry), h), h, key);
    return found != 0 ? found : find_in(*second, h, key);
  }

  bool is(StackId id, const StackKey& key) const {
    const StackNode* const node = storage.node(id);
    return node != nullptr && holds(*node, key);
  }

  struct ChildPage {
    std::atomic<StackId> first_child[16384];
  };
  static constexpr uint32_t kChildPages = kNodeDirectoryEntries * kNodesPerBlock / 16384 + 1;

  // Where the first child of `parent` is kept; nullptr without memory for it.
  std::atomic<StackId>* first_child_of(StackId parent) {
    const uint32_t page_index = parent / 16384;
    if (page_index >= kChildPages)
      return nullptr;
    ChildPage* page = first_children_[page_index].load(std::memory_order_acquire);
    if (page == nullptr) [[unlikely]] {
      page = make_child_page(first_children_[page_index]);
      if (page == nullptr)
        return nullptr;
    }
    return &page->first_child[parent % 16384];
  }
  [[gnu::noinline]] ChildPage* make_child_page(std::atomic<ChildPage*>& entry) {
    auto* const page = static_cast<ChildPage*>(Memory::map(sizeof(ChildPage)));
    if (page == nullptr)
      return nullptr;
    ChildPage* expected = nullptr;
    // Release: whoever sees the page sees it blank. A loser takes the winner's.
    if (entry.compare_exchange_strong(expected, page, std::memory_order_acq_rel)) {
      child_pages_.fetch_add(1, std::memory_order_relaxed);
      return page;
    }
    Memory::unmap(page, sizeof(ChildPage));
    return expected;
  }

  static bool holds(const StackNode& node, const StackKey& key) {
    // Relaxed pc: whoever led here did so by an acquire that made the filled node visible.
    return node.pc.load(std::memory_order_relaxed) == key.pc && node.parent == key.parent &&
           node.module == key.module;
  }

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
  static unsigned used_slots(const Bucket& bucket) {
    unsigned n = 0;
    for (const auto& slot : bucket.slots)
      n += slot.load(std::memory_order_relaxed) != 0;
    return n;
  }
  static bool insert_in_segment(Segment* segment, uint64_t h, StackId id) {
    Bucket* a = first_bucket(segment, h);
    Bucket* b = second_bucket(segment, h);
    // The emptier of the two keeps both usable for longer.
    if (used_slots(*b) < used_slots(*a)) {
      Bucket* t = a;
      a = b;
      b = t;
    }
    return insert_in(*a, h, id) || insert_in(*b, h, id);
  }

  // 0: no room, counted.
  StackId make_node(const StackKey& key) {
    StackNode* node = nullptr;
    const StackId id = storage.allocate(node);
    if (id == 0) {
      refused_.fetch_add(1, std::memory_order_relaxed);
      return 0;
    }
    fill(*node, key);
    return id;
  }
  static void fill(StackNode& node, const StackKey& key) {
    node.parent = key.parent;
    node.module = key.module;
    node.pc.store(key.pc, std::memory_order_release); // pairs with the recorder's acquire: pc last
  }

  // Nodes for the frames [from, from + n), one below the other, their ids as well; the first is below
  // `parent`, but not yet found there: publish() it. Returns its id; 0: no room for all.
  template <typename Chain> StackId make_nodes(StackId parent, Chain& chain, uint32_t from, uint32_t n) {
    const StackId first = storage.allocate_run(n);
    if (first == 0)
      return 0;
    for (uint32_t i = 0; i < n; ++i) {
      const StackId id = first + i;
      const StackKey key{parent, chain.module(from + i), chain.pc(from + i)};
      StackNode* const node = storage.node(id);
      if (node == nullptr) [[unlikely]]
        return 0; // a handler has forked meanwhile, and this is the child
      fill(*node, key);
      chain.set_node(from + i, id);
      if (i != 0) {
        std::atomic<StackId>* const place = first_child_of(parent);
        if (place != nullptr) [[likely]]
          place->store(id, std::memory_order_relaxed); // found by nobody before publish()
        else
          index_node(hash_of(key), id);
      }
      parent = id;
    }
    return first;
  }

  [[gnu::noinline]] StackId index_node(uint64_t h, StackId id) {
    for (unsigned attempt = 0; attempt <= kDirectoryBits; ++attempt) {
      const Directory entry = entry_for(h);
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
    Directory none = 0;
    // Release: pairs with the acquire of entry_for().
    if (!first_segment_.compare_exchange_strong(none, reinterpret_cast<uint64_t>(segment),
                                                std::memory_order_release, std::memory_order_relaxed))
      discard(segment); // somebody else has made it
    return true;
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
  bool split(Directory old, uint64_t h) {
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

  bool goes_up(uint32_t slot, unsigned depth) const {
    const StackNode* node = storage.node(id_in(slot));
    if (node == nullptr)
      return false;
    const StackKey key{node->parent, node->module, node->pc.load(std::memory_order_relaxed)};
    return (XXH3_64bits(&key, sizeof key) >> (63 - depth)) & 1;
  }

  std::atomic<Directory> first_segment_{0};
  std::atomic<Directory> summary_[kSummaryEntries] = {}; // 0: look into the directory
  std::atomic<Directory> directory_[kDirectoryEntries] = {};
  std::atomic<uint64_t> segments_{0};
  std::atomic<uint64_t> refused_{0};
  ChainCache chains_;
  std::atomic<ChildPage*> first_children_[kChildPages] = {};
  std::atomic<uint64_t> child_pages_{0};
};

using StackTree = BasicStackTree<>;

} // namespace hl
