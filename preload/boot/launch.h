// Starting without a supervisor: the library was preloaded by hand (LD_PRELOAD alone, a service drop-in).
#pragma once

#include <stddef.h>

namespace hl {

// Called inside the first hook when the environment names no session: starts a recorder, if that is safe
// here, and puts the new session file's path into `path`. Without a recorder (pid 1, subreapers, no recorder
// program): creates the session file and records into it alone. false: recording is impossible.
bool launch_without_supervisor(char* path, size_t room);

// From the constructor: lets programs started by this one join the session that was launched here.
void announce_session();

} // namespace hl
