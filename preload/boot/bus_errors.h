// Our handler of SIGBUS, before whatever the program does with that signal: a fault in the mapped session
// file is ours to survive (runtime/session_loss.h). All others go on to where they would have gone.
//
// It stands before the default action and before each handler that the program sets; a signal that is ignored
// or blocked when a fault of this kind comes kills, as the kernel has it. The kernel has one of kBusEntries
// small entries, with the program's own flags and mask, so masks, alternate stacks and restarts are what the
// program asked for, and its handler is jumped to with the stack that the kernel made. Which entry it is
// tells what the program had set: the first one the default action, each other one a handler, for good. So
// here, too, the kernel's table alone remembers what is in force (see fatal_signals.h), also in vfork
// children.
#pragma once

#include "platform/signals.h"

namespace hl {

inline constexpr uint32_t kBusEntries = 32;

// From attaching, before the session file is touched, and if that failed.
void watch_bus_errors();
void leave_bus_errors();

// SIGBUS has our entries where the program has not had it ignored.
bool bus_errors_watched();

// Stands before the program's default action.
const void* default_bus_entry();

// What the kernel gets in place of a handler of the program's, with SA_SIGINFO; `takes_details`: the program
// said SA_SIGINFO. nullptr: the handler itself (it is none, or the program has set too many different ones).
const void* bus_entry_before(const void* handler, bool takes_details);

// A handler of the program's that one of our entries stands before.
struct ProgramHandler {
  const void* handler = nullptr; // nullptr: what was asked for is no entry of that kind
  bool takes_details = false;
};
ProgramHandler handler_behind(const void* entry);

} // namespace hl
