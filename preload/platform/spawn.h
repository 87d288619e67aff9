// Starting a program from inside an application without the application noticing: no SIGCHLD, nothing for
// its wait() to find.
//
// execve resets a child's exit signal to SIGCHLD, so a recorder that was our child would be reaped by the
// application's wait(). Hence two clones: the intermediate exits at once (exit signal 0, reaped by us with
// __WCLONE) and the program is an orphan. CLONE_VM | CLONE_VFORK: no copy of the address space, and the
// caller sleeps until the exec. CLONE_UNTRACED: a debugger of the application does not get to see it.
#pragma once

namespace hl {

// Runs `program` with `argv` and `environment`; descriptor `keep_fd` survives the exec. True if the
// intermediate ran; whether the program came up must be learned otherwise (it can write to keep_fd).
bool spawn_unnoticed(const char* program, char* const argv[], char* const environment[], int keep_fd);

} // namespace hl
