// Chains of frames met lately: hash of (node outside the chain, its pcs) -> id of the chain's innermost node.
//
// A walk finds a few new frames at a time, and nearly always the same few below the same node as some walk
// not long before. One look here then stands for a look-up a frame. What it gives are candidates: the caller
// goes outwards from the node and compares every frame, which also tells the ids of the frames in between.
//
//   set    16 bytes: four slots, the newest first; a new chain drives the oldest out
//   slot   hash tag (9 bits) | node id (23 bits); 0 = empty
//
// Any thread, any signal handler, no lock: every slot is whole, and a lost race costs an entry of the cache.
#pragma once

#include <atomic>
#include <stdint.h>

#include "heapledger/event.h"

namespace hl {

// The hash of a chain, gathered while its frames are found, the innermost first. Chains with equal hashes
// cost a comparison, no more; so products that do not wait for each other are good enough.
class ChainHash {
 public:
  void add(uint64_t pc) {
    sum_ += (pc + frames_) * (0xc2b2ae3d27d4eb4fu + 2 * frames_);
    ++frames_;
  }
  uint64_t below(StackId parent) const {
    const uint64_t sum = sum_ + parent * 0x9e3779b97f4a7c15u;
    return (sum ^ sum >> 32) * 0xd6e8feb86659fd93u;
  }

 private:
  uint64_t sum_ = 0, frames_ = 0;
};

class ChainCache {
 public:
  static constexpr unsigned kSetBits = 13; // 128 KiB in all
  static constexpr unsigned kWays = 4;
  static constexpr unsigned kIdBits = 23;

  // The newest chain with this hash; 0: none.
  StackId candidate(uint64_t hash) const {
    const Set& set = sets_[set_index(hash)];
    StackId found = 0;
    // Backwards, without a branch: which slot it is cannot be foretold.
    for (unsigned i = kWays; i-- > 0;) {
      // Acquire: pairs with put(); the node was filled before.
      const uint32_t differs = set.slots[i].load(std::memory_order_acquire) ^ tag(hash);
      found = differs >> kIdBits == 0 ? differs : found;
    }
    return found;
  }

  // The chain in one slot, if it has this hash; 0: it has not.
  StackId candidate_in(uint64_t hash, unsigned slot) const {
    // Acquire: pairs with put().
    const uint32_t differs = sets_[set_index(hash)].slots[slot].load(std::memory_order_acquire) ^ tag(hash);
    return differs >> kIdBits == 0 ? differs : 0;
  }

  void put(uint64_t hash, StackId id) {
    Set& set = sets_[set_index(hash)];
    for (unsigned i = kWays - 1; i > 0; --i)
      // Acquire and release: whoever finds the chain in its new slot finds its node filled, as in the old
      // one.
      set.slots[i].store(set.slots[i - 1].load(std::memory_order_acquire), std::memory_order_release);
    set.slots[0].store(tag(hash) | id, std::memory_order_release);
  }

  // Writes only what is in use: untouched pages stay untouched.
  void clear() {
    for (Set& set : sets_) {
      for (auto& slot : set.slots) {
        if (slot.load(std::memory_order_relaxed) != 0)
          slot.store(0, std::memory_order_relaxed);
      }
    }
  }

 private:
  static constexpr uint32_t kIdMask = (1u << kIdBits) - 1;
  struct alignas(16) Set {
    std::atomic<uint32_t> slots[kWays];
  };

  static uint32_t set_index(uint64_t hash) { return static_cast<uint32_t>(hash >> (64 - kSetBits)); }
  // Never 0, so that an empty slot has no tag.
  static uint32_t tag(uint64_t hash) {
    const uint32_t t = static_cast<uint32_t>(hash >> 16) & ~kIdMask;
    return t ? t : 1u << kIdBits;
  }

  Set sets_[1u << kSetBits] = {};
};

} // namespace hl
