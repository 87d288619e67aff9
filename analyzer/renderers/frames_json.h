// The members of JSON objects that several verbs have in common: a stack's frames, whose heap it is.
#pragma once

#include <vector>

#include "renderers/heap_output.h"

namespace hl {

// "frames": innermost first.
void write_frames(const std::vector<ResolvedFrame>& frames, JsonWriter& json);
// uuid, pid, command, complete, recovered, running, moment, time_ns.
void write_identity(const HeapAnswer& answer, JsonWriter& json);
// The same of the moment `ticks`.
void write_identity_at(const HeapAnswer& answer, uint64_t ticks, JsonWriter& json);

} // namespace hl
