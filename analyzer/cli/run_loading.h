// From what a user names to the profile of that run: a trace, then perhaps a moment, or a profile that was
// saved before. What was found out about a finished trace is kept beside it, so that the next comparison
// need not replay it.
#pragma once

#include <string>

#include "cli/leak_rules.h"
#include "cli/trace_options.h"
#include "diff/run_profile.h"

namespace hl {

struct RunRequest {
  std::string argument; // TRACE@MOMENT, a run directory, or a profile file; empty: the newest run
  const TraceOptions* options = nullptr; // symbols, cache; not the trace
  ProgressCallback progress = {};
  LeakRulesOptions rules = {}; // beside the usual ones: then no cache is used, and profiles cannot be taken
};

// Throws TraceError and UsageError. Several may run at once, in threads.
RunProfile load_run(const RunRequest& request);
// Both at once, one in a thread of its own.
std::pair<RunProfile, RunProfile> load_runs(const RunRequest& base, const RunRequest& next);

} // namespace hl
