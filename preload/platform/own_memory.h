// Notes where the shim maps memory for itself, so that an account of the process's memory can tell it apart.
// The table is in memory of our own, which a forked child inherits as it was; the process's slot in the
// session (SessionProcess::own_memory) shows it. Async-signal-safe, lock-free; a table that is full only
// counts.
#pragma once

#include <atomic>
#include <stddef.h>
#include <stdint.h>

#include "heapledger/session_layout.h"
#include "platform/syscalls.h"

namespace hl {

inline constinit std::atomic<uint64_t> g_own_memory[kOwnMemoryEntries]{};
inline constinit std::atomic<uint64_t> g_own_memory_unlisted{}; // bytes
// The process has asked that all its future mappings be locked, which are counted: ours are not to be.
inline constinit std::atomic<bool> g_future_memory_locked{};
// Where the table is shown; null: nowhere.
inline constinit std::atomic<SessionProcess*> g_own_memory_slot{};

// After a change of entry i. Of several that do this at once the last shows what is there: in sequence, for
// each looks again after it has shown something (hence the order).
inline void show_own_memory(uint32_t i) {
  SessionProcess* const slot = g_own_memory_slot.load(std::memory_order_relaxed);
  if (slot == nullptr)
    return;
  uint64_t word = g_own_memory[i].load(std::memory_order_seq_cst);
  for (uint64_t shown = ~word; shown != word; word = g_own_memory[i].load(std::memory_order_seq_cst)) {
    slot->own_memory[i].store(word, std::memory_order_seq_cst);
    shown = word;
  }
}

inline void show_own_memory_unlisted() {
  if (SessionProcess* const slot = g_own_memory_slot.load(std::memory_order_relaxed))
    slot->own_memory_unlisted.store(g_own_memory_unlisted.load(std::memory_order_relaxed),
                                    std::memory_order_relaxed);
}

// An entry is a word that is complete in itself: whoever reads it needs nothing else to have happened, so
// relaxed.
inline bool change_own_memory(uint32_t i, uint64_t from, uint64_t to) {
  if (!g_own_memory[i].compare_exchange_strong(from, to, std::memory_order_seq_cst,
                                               std::memory_order_relaxed))
    return false;
  show_own_memory(i);
  return true;
}

inline void note_own_range(uint64_t start, uint64_t bytes) {
  constexpr uint64_t kMostBytes = kOwnMemoryMostPages * kOwnMemoryPageBytes;
  for (; bytes > kMostBytes; start += kMostBytes, bytes -= kMostBytes)
    note_own_range(start, kMostBytes);
  uint32_t free = kOwnMemoryEntries;
  for (uint32_t i = 0; i < kOwnMemoryEntries; ++i) {
    const uint64_t word = g_own_memory[i].load(std::memory_order_relaxed);
    if (word == 0) {
      if (free == kOwnMemoryEntries)
        free = i;
      continue;
    }
    const uint64_t there = own_memory_start(word), length = own_memory_bytes(word);
    if ((there + length != start && start + bytes != there) || length + bytes > kMostBytes)
      continue;
    if (change_own_memory(i, word, own_memory_word(there < start ? there : start, length + bytes)))
      return;
  }
  for (uint32_t i = free; i < kOwnMemoryEntries; ++i)
    if (change_own_memory(i, 0, own_memory_word(start, bytes)))
      return;
  g_own_memory_unlisted.fetch_add(bytes, std::memory_order_relaxed);
  show_own_memory_unlisted();
}

inline void note_own_memory(const void* p, size_t bytes) {
  if (g_future_memory_locked.load(std::memory_order_relaxed)) [[unlikely]]
    sys::raw_syscall(SYS_munlock, sys::pointer_arg(p), static_cast<long>(bytes));
  constexpr uint64_t kRest = kOwnMemoryPageBytes - 1;
  note_own_range(reinterpret_cast<uintptr_t>(p), (bytes + kRest) & ~kRest);
}

// Does it lie whole in what is noted?
inline bool is_own_memory(uint64_t start, uint64_t end) {
  for (const std::atomic<uint64_t>& entry : g_own_memory) {
    const uint64_t word = entry.load(std::memory_order_relaxed);
    if (word != 0 && start >= own_memory_start(word) &&
        end <= own_memory_start(word) + own_memory_bytes(word))
      return true;
  }
  return false;
}

// It is unmapped: from an end of what is noted. (What lies in the middle stays noted; nothing of ours is
// unmapped so.)
inline void forget_own_memory(const void* p, size_t bytes) {
  constexpr uint64_t kRest = kOwnMemoryPageBytes - 1;
  const uint64_t start = reinterpret_cast<uintptr_t>(p);
  bytes = (bytes + kRest) & ~kRest;
  for (uint32_t i = 0; i < kOwnMemoryEntries; ++i) {
    const uint64_t word = g_own_memory[i].load(std::memory_order_relaxed);
    const uint64_t there = own_memory_start(word), length = own_memory_bytes(word);
    if (start < there || start + bytes > there + length ||
        (start != there && start + bytes != there + length))
      continue;
    const uint64_t left =
        length == bytes ? 0 : own_memory_word(start == there ? start + bytes : there, length - bytes);
    if (change_own_memory(i, word, left))
      return;
  }
}

// From now on `slot` shows the table; null: none does.
inline void show_own_memory_in(SessionProcess* slot) {
  g_own_memory_slot.store(slot, std::memory_order_seq_cst);
  if (slot == nullptr)
    return;
  for (uint32_t i = 0; i < kOwnMemoryEntries; ++i)
    show_own_memory(i);
  show_own_memory_unlisted();
}

} // namespace hl
