// Counts by a 64-bit key, for what a replay counts beside the heap: which stack frees the blocks of which
// site, how many of a site's live blocks were born in which generation. Open addressing in one array, grown
// by doubling up to a bound; what does not fit any more is counted as left out, never guessed.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace hl {

struct Tally {
  uint64_t key = 0;
  uint64_t blocks = 0; // 0: an empty entry
  uint64_t bytes = 0;
};

class TallyTable {
 public:
  static constexpr size_t kMaxEntries = 4u << 20;

  void add(uint64_t key, uint64_t bytes) {
    if (used_ * 2 >= slots_.size() && !grow()) {
      ++left_out_;
      return;
    }
    Tally& slot = place(key);
    if (slot.blocks == 0) {
      slot.key = key;
      ++used_;
    }
    ++slot.blocks;
    slot.bytes += bytes;
  }
  // All entries by ascending key; the table is empty afterwards.
  std::vector<Tally> take_sorted() {
    std::vector<Tally> sorted;
    sorted.reserve(used_);
    for (const Tally& slot : slots_)
      if (slot.blocks != 0)
        sorted.push_back(slot);
    slots_ = {};
    used_ = 0;
    std::sort(sorted.begin(), sorted.end(), [](const Tally& a, const Tally& b) { return a.key < b.key; });
    return sorted;
  }
  uint64_t left_out() const { return left_out_; }

 private:
  Tally& place(uint64_t key) {
    uint64_t mixed = key * 0x9e3779b97f4a7c15u;
    mixed ^= mixed >> 32;
    const size_t mask = slots_.size() - 1;
    size_t at = static_cast<size_t>(mixed) & mask;
    while (slots_[at].blocks != 0 && slots_[at].key != key)
      at = (at + 1) & mask;
    return slots_[at];
  }
  bool grow() {
    if (slots_.size() >= kMaxEntries)
      return used_ + 1 < slots_.size() / 8 * 7; // at the bound it may become fuller than halfway
    std::vector<Tally> old = std::move(slots_);
    slots_.assign(std::max<size_t>(64, old.size() * 2), {});
    for (const Tally& slot : old)
      if (slot.blocks != 0)
        place(slot.key) = slot;
    return true;
  }

  std::vector<Tally> slots_;
  size_t used_ = 0;
  uint64_t left_out_ = 0;
};

} // namespace hl
