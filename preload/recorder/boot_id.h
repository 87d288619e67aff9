// The kernel's boot id as 16 bytes: tells whether two recordings share a clock. Zeros where /proc does not
// say.
#pragma once

#include <cstdint>

namespace hl {

void read_boot_id(uint8_t (&id)[16]);

} // namespace hl
