// See live_table.h.
#include "replay/live_table.h"

#include <sys/mman.h>

#include <bit>
#include <new>

namespace hl {
namespace {

constexpr size_t kFirstSlots = 1u << 13;
constexpr size_t limit_of(size_t slots) {
  return slots / 5 * 3;
}
constexpr unsigned shift_of(size_t slots) {
  return 64 - static_cast<unsigned>(std::bit_width(slots) - 1);
}

} // namespace

// Zero pages of the kernel are empty entries, so a new table costs nothing until it is used.
LiveBlock* LiveTable::map(size_t slots) {
  void* memory =
      ::mmap(nullptr, slots * sizeof(LiveBlock), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED)
    throw std::bad_alloc();
  // Random accesses to a large table miss the TLB with small pages each time.
  ::madvise(memory, slots * sizeof(LiveBlock), MADV_HUGEPAGE);
  return static_cast<LiveBlock*>(memory);
}

void LiveTable::unmap(LiveBlock* slots, size_t count) {
  ::munmap(slots, count * sizeof(LiveBlock));
}

LiveTable::LiveTable()
    : slots_(map(kFirstSlots)), mask_(kFirstSlots - 1), shift_(shift_of(kFirstSlots)),
      limit_(limit_of(kFirstSlots)) {}

LiveTable::~LiveTable() {
  unmap(slots_, mask_ + 1);
}

void LiveTable::grow() {
  LiveBlock* old = slots_;
  const size_t old_slots = mask_ + 1;
  const size_t slots = old_slots * 2;
  slots_ = map(slots);
  mask_ = slots - 1;
  shift_ = shift_of(slots);
  limit_ = limit_of(slots);
  for (size_t i = 0; i < old_slots; ++i) {
    if (old[i].address == 0)
      continue;
    size_t slot = slot_of(old[i].address);
    while (slots_[slot].address != 0)
      slot = (slot + 1) & mask_;
    slots_[slot] = old[i];
  }
  unmap(old, old_slots);
}

void LiveTable::erase(LiveBlock* entry) {
  size_t hole = static_cast<size_t>(entry - slots_);
  for (size_t slot = (hole + 1) & mask_; slots_[slot].address != 0; slot = (slot + 1) & mask_) {
    // An entry may move to the hole if its search would pass there: its home is not in (hole, slot].
    const size_t home = slot_of(slots_[slot].address);
    if (((slot - home) & mask_) >= ((slot - hole) & mask_)) {
      slots_[hole] = slots_[slot];
      hole = slot;
    }
  }
  slots_[hole].address = 0;
  --size_;
}

} // namespace hl
