// Joins the unwinder and the stack tree to this process's records in the session file.
#pragma once

#include "emit/event_writer.h"
#include "runtime/thread_state.h"
#include "unwind/walker.h"

namespace hl {

extern WalkContext g_walk;
extern uint32_t g_epoch_at_attach; // what was loaded then was bound in the global scope

// The stack of the event that `w` writes: the thread's memory of its last walk serves the outermost level
// alone; a handler that interrupted our own code walks without it.
[[gnu::always_inline]] inline StackId capture(const EventWriter& w, const EntryRegisters& caller);

// The stack by the slower ways: nested, checked against libunwind, or walked by libunwind.
StackId capture_specially(ThreadState& thread, bool nested, const EntryRegisters& caller);
extern bool g_capture_specially; // checking or reference unwinder in use

// Drops what the thread remembers of its last walk.
inline void forget_walk(ThreadState& t) {
  t.memo.forget();
}

// Once, by attach, after the process has a slot; and in a forked child that has one of its own.
void start_stack_capture();
void restart_stack_capture();
// In the constructor: loads libunwind for the checking mode or as the unwinder, if asked for.
void start_reference_unwinder();

// Hooks that may have made code appear or memory go.
inline void note_code_mapped(const void* p, size_t length) {
  note_executable_mapping(g_walk, reinterpret_cast<uintptr_t>(p), length);
}

[[gnu::always_inline]] inline StackId capture(const EventWriter& w, const EntryRegisters& caller) {
  if (w.nested() || g_capture_specially) [[unlikely]]
    return capture_specially(w.thread(), w.nested(), caller);
  return capture_stack(w.thread().memo, caller, g_walk);
}

} // namespace hl
