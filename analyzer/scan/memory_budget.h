// How much memory the scanner may use without pushing anybody out: the scanned program, often in the same
// container, must not be killed for the sake of a scan.
#pragma once

#include <cstdint>

namespace hl {

// What the machine, and each cgroup above this process, have left. UINT64_MAX: unknown.
uint64_t available_memory_bytes();

// An upper estimate of what a scan of so many live blocks with so many bytes needs, beyond what the replay
// holds.
uint64_t scan_needs_bytes(uint64_t blocks, uint64_t bytes);

} // namespace hl
