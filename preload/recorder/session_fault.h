// The recorder's end when the session file goes away under it: the next touch of its mapping is SIGBUS then.
// What the traces hold stays readable; nothing that is still in the session file can be had, and another
// recorder could do no better, so the supervisor is told not to start one.
#pragma once

#include "session_file.h"

namespace hl {

// From now on a fault in the mapping of `session` ends this process, after a word to `control_fd` (-1:
// nobody).
void end_when_session_is_lost(const SessionFile& session, int control_fd);

} // namespace hl
