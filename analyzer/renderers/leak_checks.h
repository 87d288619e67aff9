// Leak sites as checks, for a gate: each place that has leaks of a class whose limit is exceeded is a failed
// check at the first frame of the program's own, so that a CI system points at lines and not only at a sum.
#pragma once

#include <span>
#include <vector>

#include "renderers/check_result.h"
#include "renderers/leaks_output.h"

namespace hl {

// `checks` of limits, by metric name; the classes are those of the failed ones ("definite.bytes"). The
// heaviest first. More than a hundred places are a hundred checks and one that says how many more there are.
std::vector<CheckResult> leak_checks(const LeaksAnswer& answer, std::span<const CheckResult> checks);

} // namespace hl
