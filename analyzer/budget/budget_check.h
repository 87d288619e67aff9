// A run against its budget: what holds, what does not, which places are at fault and whose they are, and the
// budget that would accept it.
//
// Two directions fail. More than allowed: over. Less than a base by more than its tolerance and the ratchet's
// margin: under; the improvement is to be written down, else the next change may eat it up unseen.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "budget/budget_file.h"
#include "budget/code_owners.h"
#include "budget/site_places.h"
#include "budget/source_tree.h"
#include "budget/test_stretches.h"
#include "diff/run_diff.h"

namespace hl {

enum class BudgetVerdict : uint8_t { held, over, under, not_run };
std::string_view to_string(BudgetVerdict verdict);

// A place in the program's own code.
struct FaultPlace {
  std::string function;  // as recorded
  std::string canonical; // as budgets name it
  std::string file;      // in the repository; where it is not found there: as recorded
  uint32_t line = 0;
  std::string owner;            // of CODEOWNERS; "": nobody is named
  double value = 0;             // in this run
  std::optional<double> change; // against the baseline
};

struct BudgetOutcome {
  BudgetEntry entry;
  MetricUnit unit = MetricUnit::bytes;
  BudgetVerdict verdict = BudgetVerdict::held;
  uint64_t value = 0;             // of this run
  uint64_t allowed = 0;           // the most
  std::string name;               // entry_name()
  std::string message;            // a sentence
  std::vector<FaultPlace> places; // where it failed; the worst first
  bool failed() const { return verdict == BudgetVerdict::over || verdict == BudgetVerdict::under; }
};

// Whose code things are.
struct Ownership {
  SourceTree tree;
  CodeOwners owners;
  FaultPlace place(const RunProfile& profile, uint32_t frame) const;
};

struct MeasuredRun {
  const RunProfile& profile;
  const std::map<std::string, TestStretch>* tests = nullptr; // null: not known
  const std::vector<Metric>* metrics = nullptr; // all that `heapledger metrics` lists; null: not known
  const RunDiff* against = nullptr;             // a baseline -> profile; null: there is none
};

// Whether a budget has limits that only MeasuredRun::metrics tells.
bool wants_metrics(const Budget& budget);

// Throws BudgetError for a metric that the run does not have.
std::vector<BudgetOutcome> check_budget(const Budget& budget, const MeasuredRun& run,
                                        const Ownership& ownership);

// The places that make a measure, most of it first; of `profile` that measure alone is looked at.
std::vector<FaultPlace> places_of(const RunProfile& profile, ProfileMetric metric,
                                  const Ownership& ownership);

// The text that accepts the run: new numbers where it failed. With `new_tests` tests that the budget does not
// have yet are added, if it has a "tests" object.
std::string accepted_budget(const Budget& budget, const std::vector<BudgetOutcome>& outcomes,
                            const MeasuredRun& run, bool new_tests);
// A first budget of a run: its totals, the places with most at the peak, its tests.
std::string first_budget(const MeasuredRun& run, const Ownership& ownership);

} // namespace hl
