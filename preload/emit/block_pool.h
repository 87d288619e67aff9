// Taking and returning blocks of the session file: a bitmap with one bit a block, shared by every process
// of the tree and the recorder. Lock-free; both ends use this file, so that a test can run both ends in one
// process under a thread checker. Must not allocate, block or call libc.
//
// A taker sets the bit with acquire, which pairs with the release in give_back(): whatever the previous
// owner and the recorder did with the block happened before.
#pragma once

#include <atomic>
#include <cstdint>

#include "heapledger/session_layout.h"

namespace hl {

inline constexpr uint32_t kNoBlock = 0xffffffff;

class BlockPool {
 public:
  BlockPool() = default;
  explicit BlockPool(SessionHeader* header)
      : header_(header),
        words_(reinterpret_cast<std::atomic<uint64_t>*>(reinterpret_cast<char*>(header) + kBitmapOffset)) {}

  SessionHeader* header() const { return header_; }

  // Index of a block that is now the caller's, or kNoBlock. Event blocks are bounded by event_block_limit.
  uint32_t take(bool for_events) {
    if (for_events) {
      const uint32_t limit = header_->event_block_limit.load(std::memory_order_relaxed);
      if (header_->event_blocks.fetch_add(1, std::memory_order_relaxed) >= limit && limit != 0) {
        header_->event_blocks.fetch_sub(1, std::memory_order_relaxed);
        return kNoBlock;
      }
    }
    const uint32_t index = take_bit();
    if (index == kNoBlock && for_events)
      header_->event_blocks.fetch_sub(1, std::memory_order_relaxed);
    return index;
  }

  // The caller owns the block and has stored BlockKind::free in its header.
  void give_back(uint32_t index, bool was_for_events) {
    if (was_for_events)
      header_->event_blocks.fetch_sub(1, std::memory_order_relaxed);
    header_->blocks_taken.fetch_sub(1, std::memory_order_relaxed);
    // Release: pairs with the acquire of the next taker.
    words_[index / 64].fetch_and(~(uint64_t{1} << (index % 64)), std::memory_order_release);
    // Keep the hint at the lowest word with room: low blocks are re-used first, so few pages stay resident.
    uint32_t hint = header_->search_hint.load(std::memory_order_relaxed);
    while (index / 64 < hint &&
           !header_->search_hint.compare_exchange_weak(hint, index / 64, std::memory_order_relaxed)) {
    }
  }

  bool is_taken(uint32_t index) const {
    return (words_[index / 64].load(std::memory_order_acquire) >> (index % 64)) & 1;
  }

 private:
  uint32_t take_bit() {
    // Acquire: pairs with the recorder's release after it allocated the space.
    const uint32_t available = header_->blocks_available.load(std::memory_order_acquire);
    const uint32_t words = (available + 63) / 64;
    const uint32_t first = header_->search_hint.load(std::memory_order_relaxed);
    for (uint32_t i = 0; i < words; ++i) {
      const uint32_t word = (first + i) % words;
      uint64_t bits = words_[word].load(std::memory_order_relaxed);
      while (~bits != 0) {
        const uint32_t bit = static_cast<uint32_t>(__builtin_ctzll(~bits));
        if (word * 64 + bit >= available)
          break;
        if (words_[word].compare_exchange_weak(bits, bits | (uint64_t{1} << bit), std::memory_order_acquire,
                                               std::memory_order_relaxed)) {
          header_->blocks_taken.fetch_add(1, std::memory_order_relaxed);
          header_->search_hint.store(word, std::memory_order_relaxed); // a hint: losing a race is harmless
          return word * 64 + bit;
        }
      }
    }
    return kNoBlock;
  }

  SessionHeader* header_ = nullptr;
  std::atomic<uint64_t>* words_ = nullptr;
};

} // namespace hl
