// How a trace's memory samples came about, for `info`: how many, what they cost, what could not be read.
#pragma once

#include <string>
#include <vector>

#include "reader/trace.h"
#include "renderers/json_writer.h"

namespace hl {

// One line: samples taken and their cost. "": none, and none were to be taken.
std::string sampling_words(const Trace& trace);
// What is missing, a line each.
std::vector<std::string> sampling_gaps(const Trace& trace);
// The object of `info --json`, null if the trace does not tell.
void sampling_json(const Trace& trace, JsonWriter& json);

} // namespace hl
