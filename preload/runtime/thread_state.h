// A thread's own state: the blocks it fills, the memory of its last walk, and the guard against recursion.
// 16 bytes of TLS point to a mapping of its own; a new thread gets one from a free list or the kernel.
//
// The guard. While an event is being built, its frame address (the caller's CFA) stands in guards[depth-1].
// A call that finds depth > 0 is either nested (a signal handler interrupted our code: it takes the next
// lane, whose block nobody else writes) or the guard is stale: a handler left by longjmp, or a vfork child
// died inside our code; then the guarded frame no longer exists. A frame at or above the guard on the same
// stack proves that. A stale guard taken for a live one costs speed, never an event.
#pragma once

#include <stdint.h>

#include "heapledger/block_events.h"
#include "heapledger/session_layout.h"
#include "runtime/deletion.h"
#include "unwind/walker.h"

namespace hl {

inline constexpr uint32_t kLanes = 4;         // depth of signal handlers nested inside our own code
inline constexpr uint32_t kLaneReserve = 128; // room a short event may need, with slack for wide stores

// A block being filled, and what its next event is relative to.
struct Lane {
  EventBlock* block; // nullptr: none yet
  uint32_t block_index;
  uint32_t used_bytes; // == block->committed_bytes outside of an event
  BlockCursor cursor;
  uint32_t events;
  uint32_t unreported_losses; // to be said in the next event that finds room
  uint32_t opening;           // index + 1 of a block between taken and entered, 0: none
};

struct ThreadState {
  uint32_t depth; // events in progress: 0, or 1 + number of nested handlers
  uint32_t tid;
  uint32_t thread_index;
  uint32_t exiting;    // destructors are running: blocks are sealed after each event
  uint64_t held_floor; // a realloc in progress keeps blocks at this floor; 0: none
  uint64_t guards[kLanes];
  Lane lanes[kLanes];
  uint64_t allocations;     // counts allocation events, to notice nested interposition
  uint64_t last_allocation; // address of the newest one
  Deletion deletion;        // the innermost under way
  uint64_t stack_high;      // upper end of the thread's own stack; 0: unknown
  WalkMemo memo;
};

struct ThreadLocal {
  ThreadState* state;
  uint32_t exited; // the last destructor round has passed
};
extern __thread ThreadLocal t_local __attribute__((tls_model("initial-exec"), visibility("hidden")));

// State of the calling thread, made on first use; nullptr if impossible now.
ThreadState* make_thread_state();

// Called once by attach: registers the destructor that seals a thread's blocks at its end.
void prepare_thread_exit();

// Gives the state back: seals every block. The thread may still make events (it gets a new state).
void release_thread_state(ThreadState* state);

} // namespace hl
