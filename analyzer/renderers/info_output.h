// `info`: what a trace is, what it holds and what it lost; and the process tree of a run directory.
#pragma once

#include <string>
#include <vector>

#include "analyses/trace_summary.h"
#include "reader/run_directory.h"
#include "renderers/json_writer.h"
#include "renderers/text_style.h"

namespace hl {

std::string info_text(const Trace& trace, const TraceSummary& summary, const std::vector<RunImage>& run,
                      const TextStyle& style);
void info_json(const Trace& trace, const TraceSummary& summary, const std::vector<RunImage>& run,
               JsonWriter& json);

} // namespace hl
