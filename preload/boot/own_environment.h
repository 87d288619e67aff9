// What of the environment is ours: LD_PRELOAD's entries for our libraries, and the session's path.
#pragma once

namespace hl {

// Takes it out, so that what this process starts is started as if nobody had preloaded us; the user's own
// preloads stay, in their order. For processes that are not followed. In place and without an allocation:
// before main, from our constructor.
void leave_environment();

} // namespace hl
