// `diff`: two runs compared, as text for people and as JSON.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "analyses/stack_resolver.h"
#include "budget/budget_check.h"
#include "diff/diff_places.h"
#include "diff/many_runs.h"
#include "renderers/check_result.h"
#include "renderers/json_writer.h"
#include "renderers/sarif_output.h"
#include "renderers/text_style.h"

namespace hl {

struct DiffAnswer {
  const RunDiff& diff;
  std::string base_name, new_name; // as they were asked for
  size_t top = 10;                 // places, or sites in JSON; 0: all
  const ManyRuns* many = nullptr;  // several runs a side: `diff` is of their medians
};

std::string diff_text(const DiffAnswer& answer, const TextStyle& style);
// Of several runs a side: `answer.many` is not null.
std::string many_runs_text(const DiffAnswer& answer, const TextStyle& style);
// For a comment on a pull request; and what is exceeded or grew, each once. `checks` are those of the limits.
std::string diff_markdown(const DiffAnswer& answer, const Ownership& ownership,
                          std::span<const CheckResult> checks);
std::vector<SarifFinding> diff_findings(const DiffAnswer& answer, const Ownership& ownership,
                                        std::span<const CheckResult> checks);
void diff_json(const DiffAnswer& answer, JsonWriter& json);

// A frame of a profile as other renderers take it. Valid as long as the profile.
ResolvedFrame profile_frame(const RunProfile& profile, uint32_t frame);
std::vector<ResolvedFrame> profile_stack(const RunProfile& profile, uint32_t node);

// "+12.4 MiB", "-3": a change as people read it.
std::string signed_amount(double change, MetricUnit unit, const TextStyle& style);
// An amount without a sign; counts that are no whole numbers (--per) get decimals.
std::string amount(double value, MetricUnit unit, const TextStyle& style);
// Whether the table of totals has it: what both sides tell, without what says little beside the others unless
// sites are ranked by it.
bool stands_in_totals(ProfileMetric metric, const RunDiff& diff);
// "+14.1 %", "new" where there was nothing before; "" if nothing changed.
std::string signed_percent(double base, double next);

} // namespace hl
