// Which pages of the address space ever held a block that was freed: what an allocator has resident beyond
// them and its live blocks is its own. Kept only when a replay is asked for it; a bit for each 4 KiB, so it
// grows with the heap's greatest extent.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <unordered_map>

namespace hl {

class UsedPages {
 public:
  // Of a longer block only the beginning is noted; past kMost stretches nothing is (any() then says yes).
  static constexpr uint64_t kLongest = uint64_t{1} << 30;
  static constexpr size_t kMost = 1u << 22; // of 256 KiB each

  void note(uint64_t address, uint64_t bytes) {
    const uint64_t first = address / kPage;
    const uint64_t last = (address + std::clamp<uint64_t>(bytes, 1, kLongest) - 1) / kPage;
    for (uint64_t page = first; page <= last;) {
      uint64_t* const word = word_of(page / 64);
      if (word == nullptr)
        return;
      const uint64_t end = std::min(last, page | 63);
      *word |= (~uint64_t{0} >> (63 - (end - page))) << (page % 64);
      page = end + 1;
    }
  }

  // Whether such a block ever overlapped a page of [start, end).
  bool any(uint64_t start, uint64_t end) const {
    if (words_.size() >= kMost)
      return true;
    for (uint64_t page = start / kPage; page * kPage < end; ++page) {
      const auto word = words_.find(page / 64);
      if (word != words_.end() && (word->second >> (page % 64) & 1) != 0)
        return true;
    }
    return false;
  }

 private:
  static constexpr uint64_t kPage = 4096;

  uint64_t* word_of(uint64_t number) {
    if (number == last_number_)
      return last_;
    if (words_.size() >= kMost)
      return nullptr;
    last_number_ = number;
    return last_ = &words_[number]; // stays where it is, whatever else is added
  }

  std::unordered_map<uint64_t, uint64_t> words_;
  uint64_t last_number_ = UINT64_MAX;
  uint64_t* last_ = nullptr;
};

} // namespace hl
