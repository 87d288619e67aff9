// The parts that every output says of a trace in the same words: who was recorded, how it ended, what is
// missing.
#pragma once

#include <string>
#include <vector>

#include "analyses/trace_summary.h"
#include "reader/trace.h"
#include "renderers/json_writer.h"
#include "renderers/text_style.h"

namespace hl {

std::string command_line(const TraceMetadata& metadata);
// "exited with status 0", "killed by SIGKILL (9)", "" if not known.
std::string ending(const Trace& trace);

// What is lost or uncertain, each a sentence; empty: nothing.
std::vector<std::string> caveats(const Trace& trace, const LossSummary& lost,
                                 const EventStream::Counters& stream);

// Members "lost" {events, by_cause} and "problems" of the open object.
void write_lost(JsonWriter& json, const LossSummary& lost);
void write_problems(JsonWriter& json, const Trace& trace);

} // namespace hl
