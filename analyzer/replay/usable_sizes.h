// Usable sizes of live blocks in 14 bits each: the slack itself where it is small, else the number of a
// usable size in a table. Allocators with size classes have few distinct ones, so all are exact but those of
// a program with more than 8 192 distinct large ones.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

namespace hl {

class UsableSizes {
 public:
  static constexpr uint32_t kTableStart = 1u << 13, kCodes = 1u << 14;

  uint32_t code_of(uint64_t size, uint64_t usable) {
    const uint64_t slack = usable > size ? usable - size : 0;
    return slack < kTableStart ? static_cast<uint32_t>(slack) : table_code(usable);
  }
  // Usable bytes of a block of `size` requested bytes.
  uint64_t usable_of(uint64_t size, uint32_t code) const {
    return code < kTableStart ? size + code : table_[code - kTableStart];
  }

 private:
  uint32_t table_code(uint64_t usable) {
    const auto next = static_cast<uint32_t>(table_.size());
    if (next == kCodes - kTableStart) {
      const auto known = index_.find(usable);
      return known == index_.end() ? kTableStart - 1 : kTableStart + known->second;
    }
    const auto [entry, is_new] = index_.try_emplace(usable, next);
    if (is_new)
      table_.push_back(usable);
    return kTableStart + entry->second;
  }

  std::vector<uint64_t> table_;
  std::unordered_map<uint64_t, uint32_t> index_;
};

} // namespace hl
