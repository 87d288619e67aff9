// The less frequent heap events: realloc and malloc_trim. See heap_events.h.
#include "emit/heap_events.h"

#include "emit/extended_events.h"

namespace hl {

ReallocScope::ReallocScope(void* old, const EntryRegisters& caller) {
  EventWriter w(caller.rsp);
  if (!w) {
    before_ = stamp_now();
    // With a state there is no other reason than one that was counted: one realloc is one lost event.
    lost_ = g_process.phase.load(std::memory_order_relaxed) == Phase::recording && t_local.state != nullptr;
    return;
  }
  before_ = w.stamp_before_call();
  // An outer realloc (we are in a handler that interrupted it) already holds a lower floor.
  if (w.thread().held_floor == 0) {
    w.thread().held_floor = before_;
    holds_floor_ = true;
  }
  if (old != nullptr) {
    outer_ = begin_deletion(w.thread(), old, caller);
    holds_mark_ = true;
  }
}

void ReallocScope::release_mark() {
  if (!holds_mark_)
    return;
  holds_mark_ = false;
  if (ThreadState* const t = t_local.state)
    t->deletion = outer_;
}

void ReallocScope::release_floor() {
  if (!holds_floor_)
    return;
  ThreadState* const t = t_local.state;
  if (t == nullptr)
    return;
  t->held_floor = 0;
  if (t->depth == 0 && t->lanes[0].block != nullptr) {
    t->lanes[0].block->floor_ticks.store(0, std::memory_order_relaxed);
  }
}

void ReallocScope::record(void* old, void* p, size_t size, const EntryRegisters& caller) {
  if (lost_) [[unlikely]]
    return;
  if (g_process.paused.load(std::memory_order_relaxed)) [[unlikely]] {
    g_process.unrecorded.fetch_add(1, std::memory_order_relaxed);
    if (old != nullptr)
      record_free(old, caller);
    return;
  }
  EventWriter w(caller.rsp);
  if (!w)
    return;
  Event e;
  e.kind = EventKind::realloc;
  e.stack = capture(w, caller);
  e.address = reinterpret_cast<uintptr_t>(p);
  e.old_address = reinterpret_cast<uintptr_t>(old);
  e.size = size;
  e.usable = usable_size(w, p, size);
  e.ticks = w.stamp_after_call();
  e.ticks_before = before_ != 0 && before_ <= e.ticks ? before_ : e.ticks;
  w.thread().allocations += 1;
  w.thread().last_allocation = e.address;
  write_short(w, e, predict_usable(g_process.predictor, size));
}

void ReallocScope::record_free(void* old, const EntryRegisters& caller) {
  if (lost_) [[unlikely]]
    return;
  EventWriter w(caller.rsp);
  if (!w)
    return;
  Event e;
  e.kind = EventKind::free;
  if ((g_process.flags & kSessionFreeStacks) != 0)
    e.stack = capture(w, caller);
  e.address = reinterpret_cast<uintptr_t>(old);
  e.ticks = w.clamp(before_);
  write_short(w, e, 0);
}

void record_free_with_stack(void* p, const EntryRegisters& caller) {
  EventWriter w(caller.rsp);
  if (!w || was_recorded_by_delete(w.thread(), p, caller))
    return;
  Event e;
  e.kind = EventKind::free;
  e.stack = capture(w, caller);
  e.address = reinterpret_cast<uintptr_t>(p);
  e.ticks = w.stamp_before_call();
  write_short(w, e, 0);
}

void record_trim(size_t pad, int result, const EntryRegisters& caller) {
  ExtendedPayload payload;
  payload.number(pad).number(static_cast<uint64_t>(result));
  record_extended(ExtendedKind::trim, payload, &caller, caller.rsp);
}

} // namespace hl
