// Numbers for stacks: equal numbers if and only if the stacks are equal. A stack's number is that of (number
// of its callers, name of its innermost frame); 0 is the empty stack. One open-addressing table, for matching
// asks it for every node of both runs, several times.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace hl {

class StackClasses {
 public:
  uint32_t child(uint32_t parent, uint32_t name) {
    if ((used_ + 1) * 2 > slots_.size())
      grow();
    const uint64_t key = uint64_t{parent} << 32 | name;
    Slot& slot = find(key);
    if (slot.number == 0) {
      slot.key = key;
      slot.number = static_cast<uint32_t>(++used_);
    }
    return slot.number;
  }

 private:
  struct Slot {
    uint64_t key = 0;
    uint32_t number = 0; // 0: empty
  };

  Slot& find(uint64_t key) {
    const size_t mask = slots_.size() - 1;
    uint64_t mixed = key * 0x9e3779b97f4a7c15u;
    mixed ^= mixed >> 29;
    for (size_t at = static_cast<size_t>(mixed) & mask;; at = (at + 1) & mask)
      if (slots_[at].number == 0 || slots_[at].key == key)
        return slots_[at];
  }
  void grow() {
    std::vector<Slot> old(slots_.empty() ? 1024 : slots_.size() * 2);
    old.swap(slots_);
    for (const Slot& slot : old)
      if (slot.number != 0)
        find(slot.key) = slot;
  }

  std::vector<Slot> slots_;
  size_t used_ = 0;
};

} // namespace hl
