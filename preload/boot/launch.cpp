// See launch.h.
#include "boot/launch.h"

namespace hl {

bool launch_without_supervisor(char*, size_t) { return false; }
void announce_session() {}

}  // namespace hl
