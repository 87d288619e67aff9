// `heapledger-recorder adopt`: what the shim starts in a process that was preloaded without a supervisor.
// Chooses the run directory, starts a detached recorder and reports the session file's path.
#pragma once

namespace hl {

// argv: --report FD NAME. Writes the path of the ready session file to FD; returns an exit status.
int adopt_command(int argc, char** argv);

} // namespace hl
