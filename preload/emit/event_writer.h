// The life of one event on the event path: begin, build in a local buffer, commit by one release store.
//
//   EventWriter w(frame);            claims the thread's lane, or a nested one; sets the block's floor
//   if (!w) return;                  not recorded (off, booting, or lost and counted)
//   ... stack, stamp, encode into a local buffer ...
//   w.commit(buffer, bytes, cursor);
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

class EventWriter {
 public:
  // `frame`: the caller's CFA. Marks the event as begun; room for a short event is certain afterwards.
  [[gnu::always_inline]] explicit EventWriter(uint64_t frame) {
    ThreadState* const t = t_local.state;
    if (t == nullptr || t->depth != 0 || !is_attached_here()) [[unlikely]] {
      begin_slowly(frame, kLaneReserve);
      return;
    }
    t->guards[0] = frame;
    // Program order is all that matters against a signal handler of the same thread.
    std::atomic_signal_fence(std::memory_order_seq_cst);
    t->depth = 1;
    std::atomic_signal_fence(std::memory_order_seq_cst);
    open_lane(*t, 0, kLaneReserve);
  }

  // For events larger than a short one.
  EventWriter(uint64_t frame, uint32_t room_bytes) { begin_slowly(frame, room_bytes); }

  EventWriter(const EventWriter&) = delete;
  EventWriter& operator=(const EventWriter&) = delete;

  [[gnu::always_inline]] ~EventWriter() {
    if (lane_ != nullptr)
      end();
  }

  explicit operator bool() const { return lane_ != nullptr; }
  ThreadState& thread() const { return *thread_; }
  Lane& lane() const { return *lane_; }
  bool nested() const { return level_ != 0; }

  // Stamps never decrease within a block; the TSC may, by a hair, after a migration.
  // Ordered, too: a block that another thread handed over is freed here after that thread stamped its
  // allocation. The plain counter was read before the hand-over's own load: 28 of 51 M events in the wrong
  // order.
  uint64_t stamp_before_call() const { return clamp(now(true)); }
  uint64_t stamp_after_call() const { return clamp(now(true)); }
  uint64_t clamp(uint64_t ticks) const { return ticks < lane_->cursor.ticks ? lane_->cursor.ticks : ticks; }

  // `ordered`: not before what precedes it has been executed. With one thread nobody can tell.
  static uint64_t now(bool ordered) {
    if (g_process.logical_clock.load(std::memory_order_relaxed)) [[unlikely]]
      return logical_now();
    if (ordered && g_process.several_threads.load(std::memory_order_relaxed))
      return stamp_after();
    return stamp_unordered();
  }

  // Appends `bytes` of `encoded` (at most the room asked for; 32 bytes of it are always read) and makes them
  // visible. `cursor` is what the encoder left; it becomes the lane's.
  [[gnu::always_inline]] void commit(const uint8_t* encoded, uint32_t bytes, const BlockCursor& cursor) {
    if (has_forked()) [[unlikely]] {
      forked_midway();
      return;
    }
    uint8_t* const to = block_->payload + lane_->used_bytes;
    memcpy(to, encoded, 32);
    if (bytes > 32) [[unlikely]]
      memcpy(to + 32, encoded + 32, bytes - 32);
    const uint32_t used = lane_->used_bytes + bytes;
    lane_->events += 1;
    block_->last_ticks.store(cursor.ticks, std::memory_order_relaxed);
    block_->events.store(lane_->events, std::memory_order_relaxed);
    // Release: pairs with the recorder's acquire; the bytes, and the nodes they name, are visible before.
    block_->committed_bytes.store(used, std::memory_order_release);
    lane_->used_bytes = used;
    lane_->cursor = cursor;
  }

  // The event cannot be encoded relative to this block: goes on in a new one at these bases.
  // false: none is to be had; the event has ended and is counted.
  bool restart_block(uint64_t ticks, uint64_t address);

  // Ends the event unrecorded and counts it.
  void lose(LossCause cause);

 private:
  static bool is_attached_here() {
    return g_process.fork_word->load(std::memory_order_relaxed) == g_process.generation;
  }

  // Is this a child that was forked since the event began?
  bool has_forked() const { return g_process.fork_word->load(std::memory_order_relaxed) != word_; }

  [[gnu::always_inline]] void open_lane(ThreadState& t, uint32_t level, uint32_t room_bytes) {
    thread_ = &t;
    level_ = level;
    word_ = g_process.generation;
    lane_ = &t.lanes[level];
    block_ = lane_->block;
    if (block_ == nullptr || lane_->used_bytes + room_bytes > kEventPayloadBytes) [[unlikely]] {
      if (!next_block())
        return;
    }
    // Relaxed: the recorder allows for the store buffer's delay (see EventBlock::floor_ticks).
    block_->floor_ticks.store(lane_->cursor.ticks, std::memory_order_relaxed);
  }

  [[gnu::always_inline]] void end() {
    block_->floor_ticks.store(thread_->held_floor, std::memory_order_relaxed);
    std::atomic_signal_fence(std::memory_order_seq_cst);
    thread_->depth = level_;
    if (thread_->exiting != 0) [[unlikely]]
      seal_after_exit();
  }

  void begin_slowly(uint64_t frame, uint32_t room_bytes);
  bool next_block();
  bool open_block(uint64_t base_ticks, uint64_t base_address);
  void report_losses();
  void forked_midway();
  void seal_after_exit();
  static uint64_t logical_now();

  ThreadState* thread_ = nullptr;
  Lane* lane_ = nullptr;
  EventBlock* block_ = nullptr; // the lane's, but not changed by an adoption in a forked child
  uint32_t level_ = 0;
  uint32_t word_ = 0;
};

// Seals the lane's block: nothing is appended any more, the recorder may return it once drained.
void seal_lane(Lane& lane);

} // namespace hl
