#include "unwind/rule_table.h"

#include <string.h>

#include "platform/own_memory.h"
#include "platform/syscalls.h"

namespace hl {

RuleTable::Level* RuleTable::add_level(Level* full) {
  const unsigned index = full ? static_cast<unsigned>(full - levels_) + 1 : 0;
  if (index == kLevels)
    return nullptr;
  Level* level = &levels_[index];
  const uint64_t slots = uint64_t{1} << (kFirstLevelBits + index);
  // Two threads may come here at once. The entries pointer decides, and the loser gives its
  // memory back.
  RuleEntry* expected = level->entries.load(std::memory_order_acquire);
  if (expected == nullptr) {
    auto* fresh = static_cast<RuleEntry*>(sys::map_anonymous(slots * sizeof(RuleEntry)));
    if (fresh == nullptr)
      return nullptr;
    if (!level->entries.compare_exchange_strong(expected, fresh, std::memory_order_acq_rel))
      sys::unmap(fresh, slots * sizeof(RuleEntry));
    else
      note_own_memory(fresh, slots * sizeof(RuleEntry));
  }
  level->mask.store(slots - 1, std::memory_order_relaxed); // whoever stores it, stores the same
  newest_.compare_exchange_strong(full, level, std::memory_order_release);
  return level;
}

RuleEntry* RuleTable::find_any(uint64_t key, RuleEntry* after) {
  Level* newest = newest_.load(std::memory_order_acquire);
  if (newest == nullptr)
    return nullptr;
  const uint64_t h = hash(key);
  bool seen = after == nullptr;
  for (Level* level = newest;; --level) {
    for (unsigned i = 0; i < kProbes; ++i) {
      RuleEntry& e = level->at(h + i);
      const uint64_t k = e.key.load(std::memory_order_acquire);
      if (k == key) {
        if (seen)
          return &e;
        if (&e == after)
          seen = true;
      }
      if (k == 0)
        break;
    }
    if (level == levels_)
      return nullptr;
  }
}

bool RuleTable::insert(uint64_t key, const Rule& rule, uint32_t epoch, uint32_t instance) {
  Level* level = newest_.load(std::memory_order_acquire);
  if (level == nullptr && (level = add_level(nullptr)) == nullptr)
    return false;
  // `level` may be long out of date by now: each turn goes to the next one.
  for (unsigned attempt = 0; attempt <= kLevels; ++attempt) {
    if (level->used.load(std::memory_order_relaxed) <= level->mask.load(std::memory_order_relaxed) / 8 * 5) {
      const uint64_t h = hash(key);
      for (unsigned i = 0; i < kProbes; ++i) {
        RuleEntry& e = level->at(h + i);
        uint64_t empty = 0;
        // The slot is claimed first: a reader passes over a busy one, and whoever dies here leaves one dead
        // slot.
        if (e.key.load(std::memory_order_relaxed) != 0 ||
            !e.key.compare_exchange_strong(empty, kBusy, std::memory_order_relaxed))
          continue;
        e.rule = rule;
        e.instance = instance;
        e.epoch.store(epoch, std::memory_order_relaxed);
        e.key.store(key, std::memory_order_release); // pairs with the acquire loads of the finders
        level->used.fetch_add(1, std::memory_order_relaxed);
        return true;
      }
    }
    level = add_level(level);
    if (level == nullptr)
      return false;
  }
  return false;
}

void RuleTable::reset() {
  for (Level& level : levels_) {
    RuleEntry* entries = level.entries.load(std::memory_order_relaxed);
    if (entries == nullptr)
      continue;
    const uint64_t bytes = (level.mask.load(std::memory_order_relaxed) + 1) * sizeof(RuleEntry);
    sys::raw_syscall(SYS_madvise, sys::pointer_arg(entries), static_cast<long>(bytes), MADV_DONTNEED);
    level.used.store(0, std::memory_order_relaxed);
  }
}

} // namespace hl
