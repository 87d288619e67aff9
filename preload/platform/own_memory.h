// Notes where the shim maps memory for itself, so that an account of the process's memory can tell it apart
// (SessionProcess::own_memory). What is mapped before there is a process slot waits in a small table of our
// own. Async-signal-safe, lock-free; a table that is full only counts.
#pragma once

#include <atomic>
#include <stddef.h>
#include <stdint.h>

#include "heapledger/session_layout.h"
#include "platform/syscalls.h"

namespace hl {

struct OwnMemoryTable {
  std::atomic<uint64_t>* words;
  uint32_t entries;
  std::atomic<uint64_t>* unlisted_bytes;
};

inline constexpr uint32_t kEarlyOwnEntries = 16;
inline constinit std::atomic<uint64_t> g_early_own_memory[kEarlyOwnEntries]{};
inline constinit std::atomic<uint64_t> g_early_own_unlisted{};
// The process has asked that all its future mappings be locked, which are counted: ours are not to be.
inline constinit std::atomic<bool> g_future_memory_locked{};
// Null: the early table.
inline constinit std::atomic<SessionProcess*> g_own_memory_slot{};

inline OwnMemoryTable own_memory_table(SessionProcess* slot) {
  return slot != nullptr ? OwnMemoryTable{slot->own_memory, kOwnMemoryEntries, &slot->own_memory_unlisted}
                         : OwnMemoryTable{g_early_own_memory, kEarlyOwnEntries, &g_early_own_unlisted};
}

// An entry is a word that is complete in itself, so all orders here are relaxed: whoever reads it, from
// whatever process, needs nothing else to have happened.
inline void note_own_memory_in(const OwnMemoryTable& table, uint64_t start, uint64_t bytes) {
  constexpr uint64_t kMostBytes = kOwnMemoryMostPages * kOwnMemoryPageBytes;
  for (; bytes > kMostBytes; start += kMostBytes, bytes -= kMostBytes)
    note_own_memory_in(table, start, kMostBytes);
  uint32_t free = table.entries;
  for (uint32_t i = 0; i < table.entries; ++i) {
    uint64_t word = table.words[i].load(std::memory_order_relaxed);
    if (word == 0) {
      if (free == table.entries)
        free = i;
      continue;
    }
    const uint64_t there = own_memory_start(word), length = own_memory_bytes(word);
    if ((there + length != start && start + bytes != there) || length + bytes > kMostBytes)
      continue;
    const uint64_t joined = own_memory_word(there < start ? there : start, length + bytes);
    if (table.words[i].compare_exchange_strong(word, joined, std::memory_order_relaxed))
      return;
  }
  for (uint32_t i = free; i < table.entries; ++i) {
    uint64_t nothing = 0;
    if (table.words[i].compare_exchange_strong(nothing, own_memory_word(start, bytes),
                                               std::memory_order_relaxed))
      return;
  }
  table.unlisted_bytes->fetch_add(bytes, std::memory_order_relaxed);
}

inline void note_own_memory(const void* p, size_t bytes) {
  if (g_future_memory_locked.load(std::memory_order_relaxed)) [[unlikely]]
    sys::raw_syscall(SYS_munlock, sys::pointer_arg(p), static_cast<long>(bytes));
  constexpr uint64_t kRest = kOwnMemoryPageBytes - 1;
  note_own_memory_in(own_memory_table(g_own_memory_slot.load(std::memory_order_relaxed)),
                     reinterpret_cast<uintptr_t>(p), (bytes + kRest) & ~kRest);
}

// Does it lie whole in what is noted?
inline bool is_own_memory(uint64_t start, uint64_t end) {
  const OwnMemoryTable table = own_memory_table(g_own_memory_slot.load(std::memory_order_relaxed));
  for (uint32_t i = 0; i < table.entries; ++i) {
    const uint64_t word = table.words[i].load(std::memory_order_relaxed);
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
  const OwnMemoryTable table = own_memory_table(g_own_memory_slot.load(std::memory_order_relaxed));
  for (uint32_t i = 0; i < table.entries; ++i) {
    uint64_t word = table.words[i].load(std::memory_order_relaxed);
    const uint64_t there = own_memory_start(word), length = own_memory_bytes(word);
    if (start < there || start + bytes > there + length ||
        (start != there && start + bytes != there + length))
      continue;
    const uint64_t left =
        length == bytes ? 0 : own_memory_word(start == there ? start + bytes : there, length - bytes);
    if (table.words[i].compare_exchange_strong(word, left, std::memory_order_relaxed))
      return;
  }
}

// From now on `slot` has the table. `inherited`: of the process that this one was forked from; null: there is
// none.
inline void move_own_memory(SessionProcess* slot, const SessionProcess* inherited) {
  const OwnMemoryTable from = own_memory_table(const_cast<SessionProcess*>(inherited));
  const OwnMemoryTable to = own_memory_table(slot);
  for (uint32_t i = 0; i < from.entries; ++i)
    to.words[i].store(from.words[i].load(std::memory_order_relaxed), std::memory_order_relaxed);
  to.unlisted_bytes->store(from.unlisted_bytes->load(std::memory_order_relaxed), std::memory_order_relaxed);
  g_own_memory_slot.store(slot, std::memory_order_relaxed);
}

} // namespace hl
