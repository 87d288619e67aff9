// Limits as a gate for CI: what was asked for, what came of it, and telling it to people (stderr), to CI
// systems (a JUnit file) and to GitHub (annotations).
//
// Annotations are written only when asked for: a tool that prints more because a variable of its surroundings
// is set surprises whoever runs it inside another tool's test. They follow the answer on stdout; with --json
// they go to stderr, for stdout is one JSON object, and GitHub reads both.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "cli/trace_options.h"
#include "renderers/check_result.h"

namespace hl {

// What --max asks for. Throws UsageError for what is no limit, and for --junit or --github without one: a
// gate that checks nothing must not be green.
std::vector<Limit> requested_limits(const TraceOptions& options);

// A check for each limit. Throws UsageError for metrics that are not there.
std::vector<CheckResult> limit_checks(const std::vector<Limit>& limits, const std::vector<Metric>& metrics);

// Tells the results in every way that was asked for; the exit code. `suite` names what was checked.
int conclude(const TraceOptions& options, const std::string& suite, std::span<const CheckResult> checks);

} // namespace hl
