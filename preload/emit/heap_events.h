// Recording of heap calls: what the bodies of the hooks call with the outcome of the real function.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "boot/real_functions.h"
#include "emit/event_writer.h"
#include "runtime/stack_capture.h"

namespace hl {

// Usable size of a block, without a call where the allocator's layout is known. Not asked for while another
// event is in progress: tcmalloc's malloc_usable_size allocates at first, without end if asked about that
// block too.
[[gnu::always_inline]] inline uint64_t usable_size(const EventWriter& w, void* p, size_t requested) {
  if (g_real.heap_is_glibc) [[likely]] {
    // glibc keeps chunk size and flags in the word before the block: bit 1 = mmapped (16 bytes of overhead
    // instead of 8, since such a chunk has no successor whose first word could be used).
    const uint64_t word = static_cast<const uint64_t*>(p)[-1];
    return (word & ~uint64_t{7}) - ((word & 2) != 0 ? 16 : 8);
  }
  if (g_real.malloc_usable_size == nullptr || w.nested())
    return requested;
  return real_as<size_t(void*)>(g_real.malloc_usable_size)(p);
}

// Encodes and commits; a value too wide for the block's deltas gets a block of its own base.
[[gnu::always_inline]] inline void write_short(EventWriter& w, const Event& e, uint64_t predicted) {
  PreparedEvent prepared;
  if (!prepare_short_event(prepared, w.lane().cursor, e, predicted)) [[unlikely]] {
    if (!w.restart_block(e.ticks, e.address))
      return;
    if (!prepare_short_event(prepared, w.lane().cursor, e, predicted)) {
      w.lose(LossCause::damaged);
      return;
    }
  }
  w.commit(
      [&](uint8_t * to) __attribute__((always_inline)) { return store_short_event(to, prepared, e); },
      cursor_after(w.lane().cursor, e));
}

// `usable`: called with the writer for the usable size of `p`.
template <typename Usable>
[[gnu::always_inline]] inline void record_allocation(EventKind kind, void* p, size_t size, size_t alignment,
                                                     const EntryRegisters& caller, Usable usable) {
  if (g_process.paused.load(std::memory_order_relaxed)) [[unlikely]] {
    g_process.unrecorded.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  EventWriter w(caller.rsp);
  if (!w) [[unlikely]]
    return;
  Event e;
  e.kind = kind;
  e.stack = capture(w, caller);
  e.address = reinterpret_cast<uintptr_t>(p);
  e.size = size;
  e.usable = usable(w);
  e.alignment = static_cast<uint32_t>(alignment);
  e.ticks = w.stamp_after_call();
  w.thread().allocations += 1;
  w.thread().last_allocation = e.address;
  write_short(w, e, predict_usable(g_process.predictor, size));
}

[[gnu::always_inline]] inline void record_allocation(EventKind kind, void* p, size_t size, size_t alignment,
                                                     const EntryRegisters& caller) {
  record_allocation(kind, p, size, alignment, caller,
                    [&](const EventWriter& w) { return usable_size(w, p, size); });
}

// The block's operator delete has recorded its end already, or its realloc will, and now calls free through
// its public name. Once only: were the address allocated again before operator delete returns, that block's
// free counts. A mark whose frame is not around this call is stale (a handler inside operator delete left by
// longjmp) and is dropped.
[[gnu::always_inline]] inline bool was_recorded_by_delete(ThreadState& t, const void* p,
                                                          const EntryRegisters& caller) {
  if (t.deletion.address != reinterpret_cast<uintptr_t>(p)) [[likely]]
    return false;
  t.deletion.address = 0;
  return caller.rsp < t.deletion.frame;
}

// Returns the one under way before, which is to be put back when the call has returned.
inline Deletion begin_deletion(ThreadState& t, const void* p, const EntryRegisters& caller) {
  const Deletion outer = t.deletion;
  t.deletion.frame = caller.rsp;
  t.deletion.address = reinterpret_cast<uintptr_t>(p);
  return outer;
}

// With the stack of its caller, which few want (--free-stacks).
void record_free_with_stack(void* p, const EntryRegisters& caller);

[[gnu::always_inline]] inline void record_free(void* p, const EntryRegisters& caller) {
  if ((g_process.flags & kSessionFreeStacks) != 0) [[unlikely]] {
    record_free_with_stack(p, caller);
    return;
  }
  EventWriter w(caller.rsp);
  if (!w || was_recorded_by_delete(w.thread(), p, caller)) [[unlikely]]
    return;
  Event e;
  e.kind = EventKind::free;
  e.address = reinterpret_cast<uintptr_t>(p);
  e.ticks = w.stamp_before_call();
  write_short(w, e, 0);
}

void record_trim(size_t pad, int result, const EntryRegisters& caller);

// Tells whether a real function, called meanwhile, came back through another hook that recorded its block.
class NestedAllocations {
 public:
  NestedAllocations() : NestedAllocations(count_now()) {}
  explicit NestedAllocations(uint64_t count) : count_(count) {}
  static uint64_t count_now() { return t_local.state != nullptr ? t_local.state->allocations : 0; }
  bool covers(const void* p) const {
    const ThreadState* const t = t_local.state;
    return t != nullptr && t->allocations != count_ && t->last_allocation == reinterpret_cast<uintptr_t>(p);
  }

 private:
  uint64_t count_;
};

// Brackets a real realloc: remembers the stamp before it and holds the block's floor there, because the
// event that will be committed afterwards sorts its free half at that stamp. An allocator whose realloc frees
// the old block through free's public name (mimalloc's) says so through our hook meanwhile: that is not
// another free.
class ReallocScope {
 public:
  ReallocScope(void* old, const EntryRegisters& caller);
  ~ReallocScope() {
    release_mark();
    release_floor();
  }
  ReallocScope(const ReallocScope&) = delete;
  ReallocScope& operator=(const ReallocScope&) = delete;

  void record(void* old, void* p, size_t size, const EntryRegisters& caller);
  void record_free(void* old, const EntryRegisters& caller);

 private:
  void release_mark();
  void release_floor();

  bool holds_floor_ = false;
  bool holds_mark_ = false;
  bool lost_ = false;
  uint64_t before_ = 0;
  Deletion outer_{};
};

} // namespace hl
