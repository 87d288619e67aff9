// The life of one event on the event path: begin, compute, store, commit by one release store.
//
//   EventWriter w(frame);            claims the thread's lane, or a nested one; sets the block's floor
//   if (!w) return;                  not recorded (off, booting, or lost and counted)
//   ... stack, stamp, all that is to be computed ...
//   w.commit(store, cursor);         stores the bytes into the block, then shows them
//
// No lock, no system call, no allocation, except when a block is full (every ~4 000 events) and the pool is
// empty: then a bounded wait. Everything but the fast path is in event_writer.cpp.
//
// Fork inside an event (a signal handler forks while the event is half built) is noticed by the wipe-on-fork
// word, which the writer reads on the way in and again right before the commit: in the child it is zero, or
// another number once the child has claimed a slot of its own.
#pragma once

#include <stdint.h>
#include <string.h>

#include "heapledger/block_events.h"
#include "platform/clock.h"
#include "runtime/process.h"
#include "runtime/thread_state.h"

namespace hl {

// What an event in progress holds, and the slow side of its life.
struct EventClaim {
  ThreadState* thread = nullptr;
  Lane* lane = nullptr;        // nullptr: no event
  EventBlock* block = nullptr; // the lane's, but not changed by an adoption in a forked child
  uint32_t level = 0;          // 0, or the number of events that this one interrupted
  uint32_t word = 0;           // the wipe-on-fork word at the beginning

  // Is this a child that was forked since the event began?
  bool has_forked() const { return g_process.fork_word->load(std::memory_order_relaxed) != word; }

  [[gnu::always_inline]] void open_lane(ThreadState& t, uint32_t at_level) {
    thread = &t;
    level = at_level;
    word = g_process.generation;
    lane = &t.lanes[at_level];
    block = lane->block;
  }
  bool has_room(uint32_t bytes) const {
    return block != nullptr && lane->used_bytes + bytes <= kEventPayloadBytes;
  }
  // Relaxed: the recorder allows for the store buffer's delay (see EventBlock::floor_ticks).
  void set_floor() { block->floor_ticks.store(lane->cursor.ticks, std::memory_order_relaxed); }

  // Shows `used` bytes of the block's payload to readers, the newest of them an event that left `cursor`.
  [[gnu::always_inline]] void publish(uint32_t used, const BlockCursor& cursor) {
    lane->events += 1;
    block->last_ticks.store(cursor.ticks, std::memory_order_relaxed);
    block->events.store(lane->events, std::memory_order_relaxed);
    // Release: pairs with the recorder's acquire; the bytes, and the nodes they name, are visible before.
    block->committed_bytes.store(used, std::memory_order_release);
    lane->used_bytes = used;
    lane->cursor = cursor;
  }

  void begin_slowly(uint64_t frame, uint32_t room_bytes);
  bool next_block();
  bool open_block(uint64_t base_ticks, uint64_t base_address);
  void report_losses();
  void lose(LossCause cause);
  void forked_midway();
};

class EventWriter {
 public:
  // `frame`: the caller's CFA. Marks the event as begun; room for a short event is certain afterwards.
  [[gnu::always_inline]] explicit EventWriter(uint64_t frame) {
    ThreadState* const t = t_local.state;
    if (t == nullptr || t->depth != 0 || !is_attached_here()) [[unlikely]] {
      apart([&](EventClaim& claim) { claim.begin_slowly(frame, kLaneReserve); });
      return;
    }
    t->guards[0] = frame;
    // Program order is all that matters against a signal handler of the same thread.
    std::atomic_signal_fence(std::memory_order_seq_cst);
    t->depth = 1;
    std::atomic_signal_fence(std::memory_order_seq_cst);
    claim_.open_lane(*t, 0);
    if (!claim_.has_room(kLaneReserve)) [[unlikely]] {
      bool opened = false;
      apart([&](EventClaim& claim) { opened = claim.next_block(); });
      if (!opened)
        return;
    }
    claim_.set_floor();
  }

  // For events larger than a short one.
  EventWriter(uint64_t frame, uint32_t room_bytes) { claim_.begin_slowly(frame, room_bytes); }

  EventWriter(const EventWriter&) = delete;
  EventWriter& operator=(const EventWriter&) = delete;

  [[gnu::always_inline]] ~EventWriter() {
    if (claim_.lane != nullptr)
      end();
  }

  explicit operator bool() const { return claim_.lane != nullptr; }
  ThreadState& thread() const { return *claim_.thread; }
  Lane& lane() const { return *claim_.lane; }
  bool nested() const { return claim_.level != 0; }

  // Stamps never decrease within a block; the TSC may, by a hair, after a migration.
  // Ordered, too: a block that another thread handed over is freed here after that thread stamped its
  // allocation. The plain counter was read before the hand-over's own load: 28 of 51 M events in the wrong
  // order.
  uint64_t stamp_before_call() const { return clamp(now(true)); }
  uint64_t stamp_after_call() const { return clamp(now(true)); }
  uint64_t clamp(uint64_t ticks) const { return ticks < lane().cursor.ticks ? lane().cursor.ticks : ticks; }

  // `ordered`: not before what precedes it has been executed. With one thread nobody can tell.
  static uint64_t now(bool ordered) {
    if (g_process.logical_clock.load(std::memory_order_relaxed)) [[unlikely]]
      return logical_now();
    if (ordered && g_process.several_threads.load(std::memory_order_relaxed))
      return stamp_after();
    return stamp_unordered();
  }

  // Appends what `store(uint8_t* to)` stores (it may store up to the room asked for, and returns the end of
  // what counts) and makes it visible. `cursor` is what the encoder left; it becomes the lane's.
  // `store` is to do little else: a handler that forks after the look at the fork word is not noticed.
  template <typename Store> [[gnu::always_inline]] void commit(Store store, const BlockCursor& cursor) {
    if (claim_.has_forked()) [[unlikely]] {
      apart([](EventClaim& claim) { claim.forked_midway(); });
      return;
    }
    std::atomic_signal_fence(std::memory_order_seq_cst);
    uint8_t* const payload = claim_.block->payload;
    const uint8_t* const end = store(payload + claim_.lane->used_bytes);
    claim_.publish(static_cast<uint32_t>(end - payload), cursor);
  }

  // The event cannot be encoded relative to this block: goes on in a new one at these bases.
  // false: none is to be had; the event has ended and is counted.
  bool restart_block(uint64_t ticks, uint64_t address) {
    bool opened = false;
    apart([&](EventClaim& claim) { opened = claim.open_block(ticks, address); });
    return opened;
  }

  // Ends the event unrecorded and counts it.
  void lose(LossCause cause) {
    apart([=](EventClaim& claim) { claim.lose(cause); });
  }

 private:
  // The slow side gets a copy to work on: a claim whose address is never taken is kept in registers.
  template <typename Slow> [[gnu::always_inline]] void apart(Slow slow) {
    EventClaim copy = claim_;
    slow(copy);
    claim_ = copy;
  }

  [[gnu::always_inline]] void end() {
    ThreadState* const t = claim_.thread;
    claim_.block->floor_ticks.store(t->held_floor, std::memory_order_relaxed);
    std::atomic_signal_fence(std::memory_order_seq_cst);
    t->depth = claim_.level;
    if (t->exiting != 0) [[unlikely]]
      seal_after_exit(t);
  }

  static void seal_after_exit(ThreadState* thread);
  static uint64_t logical_now();

  EventClaim claim_;
};

// Seals the lane's block: nothing is appended any more, the recorder may return it once drained.
void seal_lane(Lane& lane);

} // namespace hl
