// Where a process may not be stopped by ptrace: a forked copy of it that serves its memory to the leak
// scanner through a file (heapledger/copy_window.h).
#pragma once

namespace hl {

// If the scanner wants a copy of this process, forks one that serves its window, and returns in the caller.
// The program's wait() does not see it. The copy holds the calling thread's registers and stack as they are
// here. For threads that wait for a scan.
void fork_copy_if_wanted();

} // namespace hl
