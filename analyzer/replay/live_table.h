// The live heap: address -> block, the one structure replay touches for every event.
//
// Open addressing with linear probing in one array of 32-byte entries, two a cache line, at most 60 % full;
// deletion moves followers back, so there are no tombstones and a table that lives long stays as fast as a
// new one. A caller that knows what comes next asks for its slot ahead of time (prefetch). Address 0 marks an
// empty entry and cannot be stored.
#pragma once

#include <cstddef>
#include <cstdint>

namespace hl {

struct LiveBlock {
  uint64_t address;
  uint64_t size : 48;   // requested; larger claims are cut (damage: no address space holds them)
  uint64_t chain : 16;  // reallocs this block has been through, saturating
  uint64_t birth_ticks; // of the last call that returned it
  uint32_t site;
  uint32_t thread : 18; // < Replay::kMaxThreads
  uint32_t usable : 14; // see UsableSizes
};
static_assert(sizeof(LiveBlock) == 32);

inline constexpr uint64_t kMaxBlockSize = (uint64_t{1} << 48) - 1;
inline constexpr uint64_t kMaxChain = (1u << 16) - 1;

class LiveTable {
 public:
  LiveTable();
  ~LiveTable();
  LiveTable(const LiveTable&) = delete;
  LiveTable& operator=(const LiveTable&) = delete;

  size_t size() const { return size_; }

  void prefetch(uint64_t address) const { __builtin_prefetch(&slots_[slot_of(address)], 1); }
  // The entry where a search for `address` begins: a hint of what it will find.
  const LiveBlock& first_probe(uint64_t address) const { return slots_[slot_of(address)]; }

  // nullptr: not live.
  const LiveBlock* find(uint64_t address) const { return const_cast<LiveTable*>(this)->find(address); }
  LiveBlock* find(uint64_t address) {
    for (size_t slot = slot_of(address);; slot = (slot + 1) & mask_) {
      if (slots_[slot].address == address)
        return &slots_[slot];
      if (slots_[slot].address == 0)
        return nullptr;
    }
  }
  // `address` is not live and not 0.
  void insert(const LiveBlock& block) {
    if (size_ >= limit_)
      grow();
    size_t slot = slot_of(block.address);
    while (slots_[slot].address != 0)
      slot = (slot + 1) & mask_;
    slots_[slot] = block;
    ++size_;
  }
  // An entry that find() returned.
  void erase(LiveBlock* entry);

  template <typename Visit> void for_each(Visit visit) const {
    for (size_t slot = 0; slot <= mask_; ++slot)
      if (slots_[slot].address != 0)
        visit(slots_[slot]);
  }

 private:
  size_t slot_of(uint64_t address) const { return ((address >> 4) * 0x9e3779b97f4a7c15u) >> shift_; }
  void grow();
  static LiveBlock* map(size_t slots);
  static void unmap(LiveBlock* slots, size_t count);

  LiveBlock* slots_;
  size_t mask_;
  unsigned shift_;
  size_t size_ = 0;
  size_t limit_;
};

} // namespace hl
