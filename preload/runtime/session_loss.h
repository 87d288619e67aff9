// The session file goes away under the running program: its disk fails or is removed, or somebody cuts the
// file. The next touch of a page of it is SIGBUS. Instead of dying of it, the process gets private memory in
// the place of the whole mapping and records no more.
//
// What then goes on in our own code finds zeros: no block is free, nothing may be waited for, nobody answers.
// It ends soon, since the wait-free loops there are bounded by what the program's own memory says, and its
// event is dropped before it is committed, as in a forked child. Nobody is told from here: descriptor 2 is
// the program's; the recorder meets the same fault.
#pragma once

#include <stddef.h>

namespace hl {

// From the handler of SIGBUS, with its si_addr. true: the address was ours, and can be touched again.
bool survive_session_loss(const void* address);

// What was mapped of another file of ours for a while; one at a time, nullptr: none any more.
void expose_mapping(void* start, size_t bytes);

// Ends an attempt to record that the loss came in the middle of. true: it did.
bool stop_if_session_lost();

} // namespace hl
