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

void EventClaim::begin_slowly(uint64_t frame, uint32_t room_bytes) {
  if (g_process.phase.load(std::memory_order_acquire) != Phase::recording && !attach_now())
    return;
  const uint32_t found = g_process.fork_word->load(std::memory_order_acquire);
  if (found != g_process.generation) {
    if (found != kAdopting)
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
  const uint32_t depth = t->depth;
  if (depth >= kLanes) {
    count_loss(LossCause::nested_signal);
    return;
  }
  t->guards[depth] = frame;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  t->depth = depth + 1;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  open_lane(*t, depth);
  if (has_room(room_bytes < kLaneReserve ? kLaneReserve : room_bytes) || next_block())
    set_floor();
}

bool EventClaim::next_block() {
  const bool first = lane->block == nullptr;
  return open_block(first ? EventWriter::now(false) : lane->cursor.ticks, first ? 0 : lane->cursor.address);
}

bool EventClaim::open_block(uint64_t base_ticks, uint64_t base_address) {
  const uint32_t index = take_event_block();
  if (index == kNoBlock) {
    lane->unreported_losses += 1;
    lose(LossCause::pool_exhausted);
    return false;
  }
  // A handler may fork between here and the end: the block is the parent's then, who goes on as we do. The
  // child's adoption detaches what is being opened; what it comes too late for, the looks at the fork word
  // keep us from.
  lane->opening = index + 1;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  EventBlock* const opened = static_cast<EventBlock*>(g_process.view.block(index));
  if (opened == nullptr) {
    lane->opening = 0;
    g_process.view.pool().give_back(index, true);
    lose(LossCause::no_session);
    return false;
  }
  BlockHeader& h = opened->header;
  // Changes nothing, but waits for the page, which is when signals are delivered.
  h.kind.fetch_or(0, std::memory_order_relaxed);
  if (has_forked()) {
    forked_midway(); // the block may be the parent's or ours: it is nobody's from now on
    return false;
  }
  h.process_slot = g_process.slot_index;
  h.process_generation = g_process.generation;
  h.tid = thread->tid;
  h.thread_index = thread->thread_index;
  h.sequence = g_process.slot->next_block_sequence.fetch_add(1, std::memory_order_relaxed);
  h.base_ticks = base_ticks;
  h.base_address = base_address;
  h.flags = (level != 0 ? kBlockNested : 0u) |
            (g_process.logical_clock.load(std::memory_order_relaxed) ? kBlockLogicalClock : 0u);
  opened->committed_bytes.store(0, std::memory_order_relaxed);
  opened->sealed.store(0, std::memory_order_relaxed);
  opened->events.store(0, std::memory_order_relaxed);
  opened->last_ticks.store(base_ticks, std::memory_order_relaxed);
  opened->floor_ticks.store(base_ticks, std::memory_order_relaxed);
  // Release: pairs with the recorder's acquire of `kind`.
  h.kind.store(static_cast<uint32_t>(BlockKind::event), std::memory_order_release);

  if (has_forked()) {
    forked_midway();
    return false;
  }
  EventBlock* const old = lane->block;
  lane->block = opened;
  lane->block_index = index;
  lane->used_bytes = 0;
  lane->events = 0;
  lane->cursor = {base_ticks, base_address, 0};
  lane->opening = 0;
  block = opened;
  if (old != nullptr)
    old->sealed.store(1, std::memory_order_release);
  if (lane->unreported_losses != 0) [[unlikely]]
    report_losses();
  return true;
}

void EventClaim::report_losses() {
  uint8_t payload[16];
  uint8_t* p = block_codec::put_leb(payload, static_cast<uint64_t>(LossCause::pool_exhausted));
  p = block_codec::put_leb(p, lane->unreported_losses);
  uint8_t buffer[64];
  BlockCursor cursor = lane->cursor;
  const uint32_t bytes = encode_extended_event(buffer, cursor, ExtendedKind::lost, lane->cursor.ticks, 0,
                                               payload, static_cast<uint32_t>(p - payload));
  lane->unreported_losses = 0;
  memcpy(block->payload + lane->used_bytes, buffer, bytes);
  publish(lane->used_bytes + bytes, cursor);
}

void EventClaim::lose(LossCause cause) {
  count_loss(cause);
  if (block != nullptr)
    block->floor_ticks.store(thread->held_floor, std::memory_order_relaxed);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  thread->depth = level;
  lane = nullptr;
}

void EventClaim::forked_midway() {
  // We are the child. A writer further out on this stack finds the same when it gets here.
  if (g_process.fork_word->load(std::memory_order_relaxed) == 0)
    adopt_forked_child(0);
  count_loss(LossCause::forked_midway);
  // An adoption that interrupted the opening of a block emptied the lane; the rest of the opening filled it
  // again.
  if (Lane& emptied = thread->lanes[level]; emptied.block == block)
    emptied = Lane{};
  thread->depth = level;
  lane = nullptr;
}

void EventWriter::seal_after_exit(ThreadState* thread) {
  if (thread->depth == 0)
    release_thread_state(thread);
}

uint64_t EventWriter::logical_now() {
  return g_process.view.header()->logical_clock.fetch_add(1, std::memory_order_acq_rel);
}

} // namespace hl
