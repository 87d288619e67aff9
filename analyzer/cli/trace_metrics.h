// Every number of a trace that has a name: what `metrics` lists and what limits and budgets may be set on.
#pragma once

#include <vector>

#include "cli/leak_rules.h"
#include "cli/progress.h"
#include "cli/trace_options.h"

namespace hl {

// Throws TraceError and UsageError (a moment that is not there). Leaks as `leaks` counts them: without what
// `rules` suppress.
std::vector<Metric> trace_metrics(const OpenedTrace& opened, Progress& progress,
                                  const LeakRulesOptions& rules = {});

} // namespace hl
