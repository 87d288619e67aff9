// Joining a session: from the first call of any hook, or from our constructor, whichever is earlier.
#pragma once

namespace hl {

// Attaches if nothing has tried yet. True if this process records now. Re-entered by allocations that
// attaching itself causes: those pass unrecorded. Keeps errno.
bool attach_now();

} // namespace hl
