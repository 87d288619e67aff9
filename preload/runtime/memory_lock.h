// mlockall() as if we were not there: what is locked is counted against RLIMIT_MEMLOCK, and our view of the
// session file alone is as large as what an unprivileged program may lock.
#pragma once

namespace hl {

// After mlockall(`flags`) was refused for the size of the process: if the process were small enough without
// us, locks all of it but what is ours. false: it would not be, and nothing was locked.
// Async-signal-safe.
bool lock_all_but_own(int flags);

// After mlockall(`flags`) was granted: what is ours does not count.
void unlock_own(int flags);

} // namespace hl
