// What came of a budget, in each form that is asked for. Computes nothing.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "budget/budget_check.h"
#include "renderers/check_result.h"
#include "renderers/json_writer.h"
#include "renderers/sarif_output.h"
#include "renderers/text_style.h"

namespace hl {

struct BudgetAnswer {
  std::string trace, budget; // as they were named
  std::span<const BudgetOutcome> outcomes;
  bool all_tests = false; // a test that did not run is a failure
  std::string patch;      // that accepts the run; empty: nothing to accept
  bool updated = false;   // the patch is already applied

  bool fails(const BudgetOutcome& outcome) const {
    return outcome.failed() || (all_tests && outcome.verdict == BudgetVerdict::not_run);
  }
  size_t failures() const;
};

std::string budget_text(const BudgetAnswer& answer, const TextStyle& style);
void budget_json(const BudgetAnswer& answer, JsonWriter& json);
std::string budget_markdown(const BudgetAnswer& answer);
std::vector<CheckResult> budget_checks(const BudgetAnswer& answer);
std::vector<SarifFinding> budget_findings(const BudgetAnswer& answer);

// A name in a markdown table, as code.
std::string markdown_code(std::string_view text);

} // namespace hl
