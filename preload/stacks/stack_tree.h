// The stack tree: every distinct stack is a path of nodes (parent, module instance, pc) from the outermost
// frame inwards, and its innermost node's id is all that an event carries.
//
// Nodes live in the session file (NodeStorage); this is what finds an existing one, in private memory:
// lock-free, insert-only, and grown a piece at a time without stopping anybody. Three ways, in this order:
//
// 1. A whole chain of frames at once, in a cache of chains met lately (chain_cache.h).
// 2. Each node's first child, by the node's id (first_children.h). Most nodes have no other: they never enter
//    the index, and since the nodes of a new stack are made one after the other, making or following them
//    touches a few neighbouring lines where a hash would miss the cache once a frame. Their ids are taken all
//    at once, and the whole run is found by others from when its first node is.
// 3. All further children in a hash table (further_children.h).
//
// Cost a node: 16 bytes itself, 4 for its first child, and for a further child a slot of 4 bytes, of which 45
// to 90 % are used: under 30 in all.
#pragma once

#include <algorithm>
#include <atomic>
#include <stdint.h>

#include "stacks/chain_cache.h"
#include "stacks/first_children.h"
#include "stacks/further_children.h"
#include "stacks/node_storage.h"

namespace hl {

class StackTree {
 public:
  NodeStorage storage;

  // Maps what the first thousands of nodes need: later a sandbox may kill who maps memory.
  void prepare() {
    first_.place_below(0);
    further_.prepare();
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
  uint64_t index_bytes() const { return first_.bytes() + further_.bytes(); }

  // For the child of a fork, before storage.init(): forgets the parent's nodes. No other thread may run. All
  // memory stays mapped: fork may have been called by a handler that interrupted intern(), which then goes
  // on.
  void reset() {
    further_.reset();
    first_.reset();
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
      // A node that one walk has turned off at has others below it already.
      if (i == 0)
        further_.ask_for(FurtherChildren::hash_of(key));
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
    std::atomic<StackId>* const first = first_.place_below(key.parent);
    if (first != nullptr) [[likely]] {
      // Acquire: pairs with publish(); the node was filled before it became a child.
      const StackId child = first->load(std::memory_order_acquire);
      if (child == 0) {
        gap = {first, 0};
        return 0;
      }
      if (storage.holds(child, key))
        return child;
    }
    gap = {nullptr, FurtherChildren::hash_of(key)};
    return further_.find(storage, key, gap.hash);
  }

  // Lets others find `made`; returns it, or the node that another thread has made with the same key.
  StackId publish(StackId made, const StackKey& key, const Gap& gap) {
    if (gap.first_child == nullptr)
      return further_.add(storage, gap.hash, made);
    StackId child = 0;
    // Release: whoever finds the child finds it and all below it filled.
    if (gap.first_child->compare_exchange_strong(child, made, std::memory_order_release,
                                                 std::memory_order_acquire))
      return made;
    // If with the same key, the node just made is a duplicate that nobody uses.
    return storage.holds(child, key) ? child : further_.add(storage, FurtherChildren::hash_of(key), made);
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
        std::atomic<StackId>* const place = first_.place_below(parent);
        if (place != nullptr) [[likely]]
          place->store(id, std::memory_order_relaxed); // found by nobody before publish()
        else
          further_.add(storage, FurtherChildren::hash_of(key), id);
      }
      parent = id;
    }
    return first;
  }

  std::atomic<uint64_t> refused_{0};
  ChainCache chains_;
  FirstChildren first_;
  FurtherChildren further_;
};

} // namespace hl
