// Limits on how much a run may differ from another: --max METRIC=+2%, METRIC=+64k, or METRIC=VALUE, which the
// newer run must not exceed.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "diff/diff_places.h"
#include "diff/many_runs.h"
#include "renderers/check_result.h"

namespace hl {

struct DiffLimit {
  ProfileMetric metric;
  std::string text;      // of the value, as it was given: "+2%"
  bool relative = false; // to the base run
  bool percent = false;  // relative: `value` is a percentage of it
  double value = 0;
};

// nullopt: no limit; `why` says why.
std::optional<DiffLimit> parse_diff_limit(const std::string& text, std::string& why);

// A check for each limit; where one fails, with the places at fault as details and the first own frame of the
// worst as its place. Throws UsageError for a measure that not both runs have.
std::vector<CheckResult> check_diff_limits(const std::vector<DiffLimit>& limits, const RunDiff& diff);

// Of several runs a side: a median beyond its limit passes where the runs cannot be told apart; where they
// are too few for that, it does not, and the message says so. `checks` are those of `limits`, in their order.
void excuse_noise(const std::vector<DiffLimit>& limits, const ManyRuns& many,
                  std::vector<CheckResult>& checks);

} // namespace hl
