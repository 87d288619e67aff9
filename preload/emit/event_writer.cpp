// The slow side of EventWriter: first events, nesting, stale guards, new blocks, waiting, forks.
#include "emit/event_writer.h"

#include "boot/attach.h"
#include "emit/block_waiting.h"
#include "emit/extended_events.h"
#include "runtime/stack_capture.h"

namespace hl {

namespace {

// Proof that the frame guarded at `guard` no longer exists: the present frame lies at or above it on the
// same stack. On an alternate signal stack, or on a stack we do not know, nothing is proved.
bool guard_is_stale(const ThreadState& t, uint64_t guard, uint64_t frame) {
  if (frame < guard || frame > t.stack_high)
    return false;
  struct {
    void* sp;
    int flags;
    size_t size;
  } alternate{};
  sys::raw_syscall(SYS_sigaltstack, 0, sys::pointer_arg(&alternate));
  constexpr int kOnStack = 1;
  return (alternate.flags & kOnStack) == 0;
}

} // namespace

void seal_lane(Lane& lane) {
  // Release: after the last commit.
  if (lane.block != nullptr)
    lane.block->sealed.store(1, std::memory_order_release);
  lane.block = nullptr;
}

void EventWriter::begin_slowly(uint64_t frame, uint32_t room_bytes) {
  if (g_process.phase.load(std::memory_order_acquire) != Phase::recording && !attach_now())
    return;
  const uint32_t word = g_process.fork_word->load(std::memory_order_acquire);
  if (word != g_process.generation) {
    if (word != kAdopting)
      adopt_forked_child(0);
    if (!is_attached_here()) {
      count_loss(LossCause::forked_midway);
      return;
    }
  }
  ThreadState* t = t_local.state;
  if (t == nullptr) {
    t = make_thread_state();
    if (t == nullptr) {
      count_loss(LossCause::thread_state);
      return;
    }
    record_thread_start(frame);
  }
  while (t->depth > 0 && guard_is_stale(*t, t->guards[t->depth - 1], frame)) {
    // Whoever left may have stopped between any two stores: give up the block and the remembered walk.
    seal_lane(t->lanes[t->depth - 1]);
    forget_walk(*t);
    t->held_floor = 0;
    t->depth -= 1;
  }
  const uint32_t level = t->depth;
  if (level >= kLanes) {
    count_loss(LossCause::nested_signal);
    return;
  }
  t->guards[level] = frame;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  t->depth = level + 1;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  open_lane(*t, level, room_bytes < kLaneReserve ? kLaneReserve : room_bytes);
}

bool EventWriter::next_block() {
  const bool first = lane_->block == nullptr;
  return open_block(first ? now(false) : lane_->cursor.ticks, first ? 0 : lane_->cursor.address);
}

bool EventWriter::restart_block(uint64_t ticks, uint64_t address) {
  return open_block(ticks, address);
}

bool EventWriter::open_block(uint64_t base_ticks, uint64_t base_address) {
  const uint32_t index = take_event_block();
  if (index == kNoBlock) {
    lane_->unreported_losses += 1;
    lose(LossCause::pool_exhausted);
    return false;
  }
  // A handler may fork between here and the end: the block is the parent's then, who goes on as we do. The
  // child's adoption detaches what is being opened; what it comes too late for, the looks at the fork word
  // keep us from.
  lane_->opening = index + 1;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  EventBlock* const block = static_cast<EventBlock*>(g_process.view.block(index));
  if (block == nullptr) {
    lane_->opening = 0;
    g_process.view.pool().give_back(index, true);
    lose(LossCause::no_session);
    return false;
  }
  BlockHeader& h = block->header;
  // Changes nothing, but waits for the page, which is when signals are delivered.
  h.kind.fetch_or(0, std::memory_order_relaxed);
  if (has_forked()) {
    forked_midway(); // the block may be the parent's or ours: it is nobody's from now on
    return false;
  }
  h.process_slot = g_process.slot_index;
  h.process_generation = g_process.generation;
  h.tid = thread_->tid;
  h.thread_index = thread_->thread_index;
  h.sequence = g_process.slot->next_block_sequence.fetch_add(1, std::memory_order_relaxed);
  h.base_ticks = base_ticks;
  h.base_address = base_address;
  h.flags = (nested() ? kBlockNested : 0u) |
            (g_process.logical_clock.load(std::memory_order_relaxed) ? kBlockLogicalClock : 0u);
  block->committed_bytes.store(0, std::memory_order_relaxed);
  block->sealed.store(0, std::memory_order_relaxed);
  block->events.store(0, std::memory_order_relaxed);
  block->last_ticks.store(base_ticks, std::memory_order_relaxed);
  block->floor_ticks.store(base_ticks, std::memory_order_relaxed);
  // Release: pairs with the recorder's acquire of `kind`.
  h.kind.store(static_cast<uint32_t>(BlockKind::event), std::memory_order_release);

  if (has_forked()) {
    forked_midway();
    return false;
  }
  EventBlock* const old = lane_->block;
  lane_->block = block;
  lane_->block_index = index;
  lane_->used_bytes = 0;
  lane_->events = 0;
  lane_->cursor = {base_ticks, base_address, 0};
  lane_->opening = 0;
  block_ = block;
  if (old != nullptr)
    old->sealed.store(1, std::memory_order_release);
  if (lane_->unreported_losses != 0) [[unlikely]]
    report_losses();
  return true;
}

void EventWriter::report_losses() {
  uint8_t payload[16];
  uint8_t* p = block_codec::put_leb(payload, static_cast<uint64_t>(LossCause::pool_exhausted));
  p = block_codec::put_leb(p, lane_->unreported_losses);
  uint8_t buffer[64];
  BlockCursor cursor = lane_->cursor;
  const uint32_t bytes = encode_extended_event(buffer, cursor, ExtendedKind::lost, lane_->cursor.ticks, 0,
                                               payload, static_cast<uint32_t>(p - payload));
  lane_->unreported_losses = 0;
  commit(buffer, bytes, cursor);
}

void EventWriter::lose(LossCause cause) {
  count_loss(cause);
  if (block_ != nullptr)
    block_->floor_ticks.store(thread_->held_floor, std::memory_order_relaxed);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  thread_->depth = level_;
  lane_ = nullptr;
}

void EventWriter::forked_midway() {
  // We are the child. A writer further out on this stack finds the same when it gets here.
  if (g_process.fork_word->load(std::memory_order_relaxed) == 0)
    adopt_forked_child(0);
  count_loss(LossCause::forked_midway);
  // An adoption that interrupted the opening of a block emptied the lane; the rest of the opening filled it
  // again.
  if (Lane& lane = thread_->lanes[level_]; lane.block == block_)
    lane = Lane{};
  thread_->depth = level_;
  lane_ = nullptr;
}

void EventWriter::seal_after_exit() {
  if (thread_->depth == 0)
    release_thread_state(thread_);
}

uint64_t EventWriter::logical_now() {
  return g_process.view.header()->logical_clock.fetch_add(1, std::memory_order_acq_rel);
}

} // namespace hl
