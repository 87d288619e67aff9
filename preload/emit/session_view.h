// This process's view of the session file: the header region, mapped for good, and the blocks, mapped in
// windows of 8 MiB when a block in them is first needed. Windows are duplicated from an existing mapping
// (mremap with old size 0), so that no descriptor is kept: programs close all descriptors.
// A mapped page beyond the allocated part of the file is never touched: block indexes come from the bitmap,
// below SessionHeader::blocks_available. Lock-free; a race maps a window twice and unmaps one.
//
// The file may go away while it is mapped (its disk fails, somebody cuts it): a touch is SIGBUS then, and
// runtime/session_loss.h puts private memory in its place. So whatever is read in the mapping may be zero at
// the next look: it may neither lead out of the mapping unchecked nor keep a loop going.
#pragma once

#include <atomic>
#include <cstdint>

#include "emit/block_pool.h"
#include "heapledger/session_layout.h"

namespace hl {

inline constexpr uint32_t kWindowBlocks = 256;
inline constexpr uint32_t kMaxWindows = kMaxBlocks / kWindowBlocks;

class SessionView {
 public:
  // Maps header and first window of an open session file; the descriptor may be closed afterwards.
  // false: not a session file of this version, or no address space.
  bool attach(int fd);

  bool attached() const { return header_ != nullptr; }
  SessionHeader* header() const { return header_; }
  BlockPool pool() const { return BlockPool(header_); }
  std::atomic<uint32_t>* process_table() const {
    return reinterpret_cast<std::atomic<uint32_t>*>(reinterpret_cast<char*>(header_) + kProcessTableOffset);
  }

  // Address of a block, or nullptr when its window cannot be mapped.
  void* block(uint32_t index) {
    if (index >= kMaxBlocks) [[unlikely]]
      return nullptr;
    char* window = windows_[index / kWindowBlocks].load(std::memory_order_acquire);
    if (window == nullptr) [[unlikely]] {
      window = map_window(index / kWindowBlocks);
      if (window == nullptr)
        return nullptr;
    }
    return window + uint64_t{index % kWindowBlocks} * kBlockBytes;
  }

  // In a forked child: the block's present address becomes private memory, so that an event which the fork
  // interrupted cannot write into the parent's block any more; the block itself stays reachable elsewhere.
  void detach_block(uint32_t index);

  // Lies this address in a mapping of the session file?
  bool covers(const void* address) const;
  // After mlockall: takes the lock off all mappings.
  void unlock() const;
  // Puts private zeros in the place of all mappings. Async-signal-safe; any number of threads may do it at
  // once. false: nothing can be mapped at `address`.
  bool replace_by_memory(const void* address);

 private:
  char* map_window(uint32_t window);
  template <typename Use> bool any_mapping(const Use& use) const;

  SessionHeader* header_ = nullptr;
  std::atomic<char*> base_ = nullptr; // of the first mapping: header and window 0
  std::atomic<char*> windows_[kMaxWindows] = {};
  // Windows that detach_block() has put others in the place of: what it interrupted may still hold addresses
  // there.
  static constexpr uint32_t kMostLeft = 16;
  std::atomic<char*> left_windows_[kMostLeft] = {};
};

} // namespace hl
