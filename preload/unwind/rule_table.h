// pc -> rule, for the whole process: one probe a frame, no lock.
//
// Open addressing. Entries are only ever added; an entry's key is stored last (release), so whoever finds the
// key (acquire) finds the rest. When a level is five eighths full the next, twice as large, is made and takes
// the new entries (no larger than needed: a sparse table costs the application cache lines and TLB entries);
// a hit in an older level is copied to the newest, so hot pcs are found by the first probe. Lost races cost a
// duplicate entry, never a wrong one.
//
// An entry holds for one module epoch; in the next it must be confirmed (revalidate) before use, once.
// Entries of code that is gone are never confirmed again and stay as tombstones. When the last level is full,
// rules are decoded at each use instead: slower, and still right.
#pragma once

#include <atomic>
#include <stdint.h>

#include "unwind/rule.h"

namespace hl {

struct RuleEntry {
  std::atomic<uint64_t> key; // pc, with kExactPcKey when it is not a return address; 0 = empty
  Rule rule;
  std::atomic<uint32_t> epoch; // module epoch in which the rule was last confirmed
  uint32_t instance;           // index in the ModuleTable, kNoInstance = code of no module
};
static_assert(sizeof(RuleEntry) == 32);

class RuleTable {
 public:
  static constexpr uint64_t kExactPcKey = uint64_t{1} << 63;
  static constexpr uint64_t kBusy = uint64_t{1} << 62; // being filled
  static constexpr unsigned kLevels = 7;               // 128 KiB to 8 MiB
  static constexpr unsigned kFirstLevelBits = 12;
  static constexpr unsigned kProbes = 16;

  // The entry of `key` if it was confirmed in `epoch`, else nullptr (then: find_any, decode, insert).
  const RuleEntry* find(uint64_t key, uint32_t epoch) const {
    const Level* level = newest_.load(std::memory_order_acquire); // pairs with the release in add_level()
    if (level == nullptr)
      return nullptr;
    const uint64_t h = hash(key);
    for (unsigned i = 0; i < kProbes; ++i) {
      const RuleEntry& e = level->at(h + i);
      const uint64_t k = e.key.load(std::memory_order_acquire); // pairs with the release in insert()
      // Relaxed: epoch only ever says that what the acquire above made visible still holds.
      if (k == key && e.epoch.load(std::memory_order_relaxed) == epoch) [[likely]]
        return &e;
      if (k == 0)
        return nullptr;
    }
    return nullptr;
  }

  // Entries of `key` in any level and epoch, one after the other: pass the last one, or nullptr to begin.
  RuleEntry* find_any(uint64_t key, RuleEntry* after);

  // Adds an entry (or brings one of an older level to the newest). False when there is no room.
  bool insert(uint64_t key, const Rule& rule, uint32_t epoch, uint32_t instance);

  // For the child of a fork, while no other thread runs: forgets all entries. Their memory stays mapped and
  // reads as zeros, for fork may have been called by a handler that interrupted a walk, which then goes on.
  void reset();

 private:
  struct Level {
    // Relaxed, both: set before the level is published by newest_, never changed afterwards.
    std::atomic<RuleEntry*> entries;
    std::atomic<uint64_t> mask;
    std::atomic<uint32_t> used;

    RuleEntry& at(uint64_t i) const {
      return entries.load(std::memory_order_relaxed)[i & mask.load(std::memory_order_relaxed)];
    }
  };
  static uint64_t hash(uint64_t key) { return (key * 0x9e3779b97f4a7c15u) >> 32; }
  Level* add_level(Level* full);

  std::atomic<Level*> newest_;
  Level levels_[kLevels] = {};
};

} // namespace hl
