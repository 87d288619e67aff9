// Extending the session file from inside the application: only where there is no recorder to do it
// (kSessionRecorderless). The one place where the event path may do file I/O, and only when the file is full.
#pragma once

#include "emit/session_view.h"

namespace hl {

// Allocates more blocks on disk. false: no room, or the file is gone.
bool grow_session(SessionView& view);

} // namespace hl
