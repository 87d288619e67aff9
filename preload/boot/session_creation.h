// Making a session file from inside the application, for runs without any recorder: see launch.h.
#pragma once

#include <stddef.h>

namespace hl {

// Creates a recorderless session file in `directory`, named after `name` and the pid; its path goes to
// `path`.
bool create_recorderless_session(const char* directory, const char* name, char* path, size_t room);

} // namespace hl
