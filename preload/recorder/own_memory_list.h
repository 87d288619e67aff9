// What a process's slot says of the memory that the shim mapped there for itself
// (SessionProcess::own_memory).
#pragma once

#include <vector>

#include "heapledger/session_layout.h"
#include "residency_encoder.h"

namespace hl {

// By address, not overlapping; empty if the slot is another image's by now. The process may be writing there.
std::vector<OwnRange> own_memory(const SessionProcess& slot, uint32_t generation);

} // namespace hl
