// Taking a block of the session file, waiting for the recorder where none is free: the application is stopped
// for a bounded time rather than anything lost. What the bounds are: docs/robustness.md.
#pragma once

#include <stdint.h>

namespace hl {

// A block for events, or kNoBlock: the process's budget is spent (then events are dropped until the pool has
// drained), or it is not to wait.
uint32_t take_event_block();

// A block for what events refer to (a process, stack nodes, modules), or kNoBlock. These have a budget of
// their own, once for the life of the process.
uint32_t take_definition_block();

} // namespace hl
