// A last leak scan when the program is about to die of a signal whose default action is to end it.
//
// Where the disposition is the default one, the kernel has a handler of ours instead. It asks for the scan,
// waits (bounded, see leak_request.h), puts the default back, sends the same signal with the same details to
// its own thread and returns: the process then dies of it where it would have died, and a core dump shows
// that place.
//
// The program must not notice. Its calls of sigaction and the like (interpose/signal_hooks.cpp) see the
// default where our handler is, and putting the default back puts our handler back. Nothing is remembered
// about that: the kernel's table alone says what is in force, also in a vfork child, which has a table of its
// own but our memory. What cannot be hidden is in docs/robustness.md.
//
// SIGBUS has the entries of bus_errors.h instead, which come here where the default action is due.
#pragma once

#include "platform/signals.h"

namespace hl {

// From the constructor: begins to watch signals that end the program by default. Not in a process that is pid
// 1 of its namespace: the kernel protects that one from signals only as long as there is no handler.
void watch_fatal_signals();

// For good: the program is about to forbid system calls to itself, or has become pid 1. SIGBUS stays.
void leave_fatal_signals();

// Is the default action of this signal replaced by our handler?
bool is_watched(int signal);

// What the kernel has for a watched signal is ours.
bool is_own_handler(const void* handler);

// Our handler with the flags and the mask that the program wants with the default action.
sys::KernelAction own_action(int signal, unsigned long flags, uint64_t mask);

// The handler.
void on_fatal_signal(int signal, siginfo_t* info, void* context);

} // namespace hl
