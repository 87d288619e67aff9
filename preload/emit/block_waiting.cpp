// Waiting for blocks: see block_waiting.h.
#include "emit/block_waiting.h"

#include "emit/session_growth.h"
#include "platform/syscalls.h"
#include "runtime/process.h"

namespace hl {

namespace {

constexpr uint64_t kWaitSliceNs = 10'000'000;

// Threads that wait side by side spend the budget once: counts what nobody has counted yet of [began, now].
// Returns what the process has waited since the pool was last drained.
uint64_t count_waiting(uint64_t began_ns, uint64_t now_ns) {
  uint64_t until_ns = g_process.waited_until_ns.load(std::memory_order_relaxed);
  for (;;) {
    const uint64_t from_ns = until_ns > began_ns ? until_ns : began_ns;
    if (now_ns <= from_ns)
      break;
    // Relaxed: statistics, and a bound that may be missed by one slice.
    if (!g_process.waited_until_ns.compare_exchange_weak(until_ns, now_ns, std::memory_order_relaxed))
      continue;
    g_process.waited_ns.fetch_add(now_ns - from_ns, std::memory_order_relaxed);
    // None while the process itself is being entered.
    if (g_process.slot != nullptr)
      g_process.slot->waited_ns.fetch_add(now_ns - from_ns, std::memory_order_relaxed);
    break;
  }
  return g_process.waited_ns.load(std::memory_order_relaxed);
}

// Waits for the recorder to return blocks or to extend the file, as long as may_wait(when it began, now).
template <typename MayWait>
uint32_t wait_for_block(BlockPool pool, bool for_events, const MayWait& may_wait) {
  SessionHeader* const header = pool.header();
  const uint64_t began_ns = sys::clock_ns(CLOCK_MONOTONIC);
  uint32_t index = kNoBlock;
  header->space_waiters.fetch_add(1, std::memory_order_relaxed);
  // The recorder sleeps on this word while it is 0.
  sys::futex_wake(&header->space_waiters);
  for (;;) {
    // Acquire: the word is read before the pool is tried, so a return in between changes it.
    const uint32_t word = header->space_futex.load(std::memory_order_acquire);
    index = pool.take(for_events);
    if (!may_wait(began_ns, sys::clock_ns(CLOCK_MONOTONIC)) || index != kNoBlock)
      break;
    sys::futex_wait(&header->space_futex, word, kWaitSliceNs);
  }
  header->space_waiters.fetch_sub(1, std::memory_order_relaxed);
  if (g_process.slot != nullptr)
    g_process.slot->waits.fetch_add(1, std::memory_order_relaxed);
  return index;
}

uint32_t take_now(BlockPool pool, bool for_events) {
  const uint32_t index = pool.take(for_events);
  if (index == kNoBlock && (pool.header()->flags & kSessionRecorderless) != 0 &&
      grow_session(g_process.view)) {
    return pool.take(for_events);
  }
  return index;
}

bool may_wait_at_all(const SessionHeader* header) {
  return (header->flags & (kSessionDropOnOverload | kSessionRecorderless)) == 0;
}

bool pool_has_drained(const SessionHeader* header) {
  return header->event_blocks.load(std::memory_order_relaxed) <=
         header->event_block_limit.load(std::memory_order_relaxed) / 2;
}

} // namespace

uint32_t take_event_block() {
  BlockPool pool = g_process.view.pool();
  SessionHeader* const header = pool.header();
  if (g_process.dropping.load(std::memory_order_relaxed)) {
    if (!pool_has_drained(header))
      return kNoBlock;
    g_process.dropping.store(false, std::memory_order_relaxed);
    g_process.waited_ns.store(0, std::memory_order_relaxed);
  }
  uint32_t index = take_now(pool, true);
  if (index != kNoBlock) {
    if (g_process.waited_ns.load(std::memory_order_relaxed) != 0 && pool_has_drained(header)) {
      g_process.waited_ns.store(0, std::memory_order_relaxed);
    }
    return index;
  }
  if (!may_wait_at_all(header))
    return kNoBlock;
  index = wait_for_block(pool, true, [header](uint64_t began_ns, uint64_t now_ns) {
    return count_waiting(began_ns, now_ns) < header->wait_budget_ns;
  });
  if (index == kNoBlock)
    g_process.dropping.store(true, std::memory_order_relaxed);
  return index;
}

uint32_t take_definition_block() {
  BlockPool pool = g_process.view.pool();
  SessionHeader* const header = pool.header();
  const uint32_t index = take_now(pool, false);
  if (index != kNoBlock || !may_wait_at_all(header))
    return index;
  uint64_t counted_ns = 0;
  return wait_for_block(pool, false, [&](uint64_t began_ns, uint64_t now_ns) {
    const uint64_t more_ns = now_ns - began_ns - counted_ns;
    counted_ns += more_ns;
    count_waiting(began_ns, now_ns);
    // Nothing is coming where the disk is full; then each process of a large tree would wait in vain.
    return header->cannot_extend.load(std::memory_order_relaxed) == 0 &&
           g_process.definitions_waited_ns.fetch_add(more_ns, std::memory_order_relaxed) + more_ns <
               header->wait_budget_ns;
  });
}

} // namespace hl
