// The last block that was freed at each address: what lay in the holes of a heap, and who freed it. Kept only
// when a replay is asked for it, in one array of at most 128 MiB; when that is full, the older of the ghosts
// that a search meets makes room, and it is counted.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "heapledger/event.h"
#include "replay/huge_array.h"

namespace hl {

struct Ghost {
  uint64_t address = 0; // 0: an empty entry
  uint64_t usable = 0;
  uint64_t death_ticks = 0;
  uint32_t site = 0;      // that allocated it
  StackId free_stack = 0; // 0: frees carry none
  uint64_t end() const { return address + usable; }
};
static_assert(sizeof(Ghost) == 32);

class GhostTable {
 public:
  static constexpr size_t kMaxEntries = 4u << 20;

  // Takes effect a few calls later, when the place in the table has come into the cache.
  void add(const Ghost& ghost) {
    if ((used_ + kWaiting) * 5 >= slots_.size() * 3 && slots_.size() < kMaxEntries)
      grow();
    Ghost& next = waiting_[turn_++ % kWaiting];
    if (next.address != 0)
      place(next);
    next = ghost;
    __builtin_prefetch(&slots_[slot_of(ghost.address)], 1);
  }
  // By address.
  std::vector<Ghost> sorted() {
    for (size_t i = 0; i < kWaiting; ++i, ++turn_) {
      Ghost& next = waiting_[turn_ % kWaiting];
      if (next.address != 0)
        place(next);
      next = {};
    }
    std::vector<Ghost> ghosts;
    ghosts.reserve(used_);
    for (const Ghost& slot : slots_)
      if (slot.address != 0)
        ghosts.push_back(slot);
    std::sort(ghosts.begin(), ghosts.end(),
              [](const Ghost& a, const Ghost& b) { return a.address < b.address; });
    return ghosts;
  }
  // Ghosts that made room for others.
  uint64_t forgotten() const { return forgotten_; }

 private:
  static constexpr size_t kProbes = 16, kWaiting = 16;

  size_t slot_of(uint64_t address) const { return ((address >> 4) * 0x9e3779b97f4a7c15u) >> shift_; }
  void place(const Ghost& ghost) {
    const size_t mask = slots_.size() - 1;
    size_t at = slot_of(ghost.address), oldest = at;
    for (size_t probe = 0; probe < kProbes; ++probe, at = (at + 1) & mask) {
      Ghost& slot = slots_[at];
      if (slot.address == ghost.address || slot.address == 0) {
        used_ += slot.address == 0 ? 1 : 0;
        slot = ghost;
        return;
      }
      if (slot.death_ticks < slots_[oldest].death_ticks)
        oldest = at;
    }
    slots_[oldest] = ghost;
    ++forgotten_;
  }
  void grow() {
    const HugeArray<Ghost> old = std::move(slots_);
    const size_t size = std::max<size_t>(1u << 13, old.size() * 2);
    slots_ = HugeArray<Ghost>(size);
    shift_ = 64 - static_cast<unsigned>(__builtin_ctzll(size));
    used_ = 0;
    for (const Ghost& ghost : old)
      if (ghost.address != 0)
        place(ghost);
  }

  HugeArray<Ghost> slots_;
  Ghost waiting_[kWaiting]; // oldest at turn_
  size_t turn_ = 0;
  unsigned shift_ = 0;
  size_t used_ = 0;
  uint64_t forgotten_ = 0;
};

} // namespace hl
