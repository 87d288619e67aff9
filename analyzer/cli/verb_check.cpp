// `heapledger check`: a run against its budget, and the baseline that later runs are compared with.
#include <filesystem>
#include <memory>
#include <new>

#include "budget/unified_diff.h"
#include "cli/gate.h"
#include "cli/ownership_options.h"
#include "cli/progress.h"
#include "cli/run_loading.h"
#include "cli/trace_metrics.h"
#include "cli/verbs.h"
#include "diff/profile_builder.h"
#include "diff/profile_file.h"
#include "renderers/budget_output.h"

namespace hl {
namespace {

// A baseline is written once and kept for long.
constexpr int kBaselineCompression = 19;

struct CheckOptions {
  TraceOptions common;
  OwnershipOptions ownership;
  LeakRulesOptions rules;
  std::string budget, baseline, write_baseline, markdown, sarif;
  bool update = false;
  bool all_tests = false;
};

// The budget's path as a patch names it.
std::string patch_path(const std::string& path) {
  std::error_code error;
  const std::string relative = std::filesystem::proximate(path, error).generic_string();
  return error || relative.empty() ? path : relative;
}

std::map<std::string, TestStretch> load_tests(const CheckOptions& options) {
  const OpenedTrace opened = open_trace(options.common);
  Progress progress("replaying tests");
  std::map<std::string, TestStretch> tests = test_stretches(*opened.trace, progress.callback());
  progress.clear();
  return tests;
}

// The places behind tests that are over budget: what the marks alone do not tell.
void blame_tests(const CheckOptions& options, const Ownership& ownership,
                 std::vector<BudgetOutcome>& outcomes) {
  using enum ProfileMetric;
  std::vector<TestMetric> wanted;
  const auto is_wanted = [](const BudgetOutcome& outcome) {
    const auto metric = outcome.entry.profiled;
    return outcome.entry.group == BudgetGroup::tests && outcome.verdict == BudgetVerdict::over &&
           (metric == allocation_calls || metric == bytes_requested || metric == peak_bytes ||
            metric == exit_bytes);
  };
  for (const BudgetOutcome& outcome : outcomes)
    if (is_wanted(outcome))
      wanted.emplace_back(outcome.entry.test, *outcome.entry.profiled);
  if (wanted.empty())
    return;
  const OpenedTrace opened = open_trace(options.common);
  Progress progress("replaying tests");
  const std::map<TestMetric, StackAmounts> stacks = test_stacks(*opened.trace, wanted, progress.callback());
  progress.clear();
  for (BudgetOutcome& outcome : outcomes)
    if (is_wanted(outcome))
      if (const auto found = stacks.find({outcome.entry.test, *outcome.entry.profiled});
          found != stacks.end())
        outcome.places = places_of(profile_of_stacks(*opened.trace, options.common.symbolizer_options(),
                                                     found->first.second, found->second),
                                   found->first.second, ownership);
}

void tell(const CheckOptions& options, const BudgetAnswer& answer) {
  if (options.common.json) {
    print_json(budget_json, answer);
  } else {
    std::fputs(budget_text(answer, options.common.style()).c_str(), stdout);
  }
  if (!options.markdown.empty())
    write_file(options.markdown, budget_markdown(answer), "markdown file");
  if (!options.sarif.empty())
    write_file(options.sarif, sarif_log(budget_findings(answer), HEAPLEDGER_VERSION), "SARIF file");
}

int answer_check(CheckOptions& options) {
  if (options.budget.empty() && options.write_baseline.empty())
    throw UsageError("check wants --budget FILE, --write-baseline FILE or both");
  if (options.budget.empty() && (options.update || !options.markdown.empty() || !options.sarif.empty() ||
                                 !options.common.junit_file.empty() || options.common.github))
    throw UsageError("there is nothing to tell or update without --budget");
  std::error_code error;
  const bool exists = !options.budget.empty() && std::filesystem::exists(options.budget, error);
  if (!options.budget.empty() && !exists && !options.update)
    throw UsageError("there is no budget " + options.budget + "; --update-budget makes one of this run");
  // What a person wrote wrong is said before anything takes time.
  std::optional<Budget> budget;
  try {
    if (exists)
      budget = parse_budget(read_text_file(options.budget, "budget"), options.budget);
  } catch (const BudgetError& wrong) {
    throw UsageError(wrong.what());
  }

  Progress progress("replaying");
  const RunProfile profile =
      load_run({options.common.trace, &options.common, progress.callback(), options.rules});
  std::unique_ptr<RunProfile> before;
  if (!options.baseline.empty())
    before = std::make_unique<RunProfile>(load_run({options.baseline, &options.common, progress.callback()}));
  progress.clear();
  if (!options.write_baseline.empty()) {
    const std::vector<uint8_t> bytes = serialize_profile(profile, {}, kBaselineCompression);
    if (bytes.empty())
      throw std::bad_alloc();
    write_file(options.write_baseline, {reinterpret_cast<const char*>(bytes.data()), bytes.size()},
               "baseline");
  }
  if (options.budget.empty())
    return kExitFine;

  const bool is_profile = is_profile_file(options.common.trace);
  if (budget && budget->has_tests && is_profile)
    throw UsageError("budgets of tests want the trace; " + options.common.trace + " is a saved profile");
  std::map<std::string, TestStretch> tests;
  if (!is_profile && (!budget || budget->has_tests))
    tests = load_tests(options);
  std::vector<Metric> metrics;
  const bool has_metrics = budget && wants_metrics(*budget) && !is_profile;
  if (has_metrics) {
    Progress reading("replaying");
    metrics = trace_metrics(open_trace(options.common), reading, options.rules);
    reading.clear();
  }
  const RenameMap renames;
  std::unique_ptr<RunDiff> diff;
  if (before)
    diff = std::make_unique<RunDiff>(*before, profile, renames, DiffOptions{});
  const MeasuredRun run{profile, &tests, has_metrics ? &metrics : nullptr, diff.get()};
  const Ownership ownership = options.ownership.ownership();

  if (!budget) {
    const std::string text = first_budget(run, ownership);
    write_file(options.budget, text, "budget");
    budget = parse_budget(text, options.budget);
  }
  std::vector<BudgetOutcome> outcomes;
  try {
    outcomes = check_budget(*budget, run, ownership);
  } catch (const BudgetError& wrong) {
    throw UsageError(wrong.what());
  }
  if (!options.update && !is_profile)
    blame_tests(options, ownership, outcomes);
  BudgetAnswer answer;
  answer.trace = options.common.trace;
  answer.budget = options.budget;
  answer.outcomes = outcomes;
  answer.all_tests = options.all_tests;
  bool anything = false;
  for (const BudgetOutcome& outcome : outcomes)
    anything = anything || outcome.verdict != BudgetVerdict::not_run;
  if (!anything && !options.update && !options.all_tests)
    throw UsageError(options.budget + " has nothing that this run could be checked against");

  const std::string accepted = accepted_budget(*budget, outcomes, run, options.update);
  answer.patch = unified_diff(patch_path(options.budget), exists ? &budget->text : nullptr, accepted);
  if (options.update) {
    write_file(options.budget, accepted, "budget");
    answer.updated = true;
    // What the new budget says of the run: it accepts it.
    budget = parse_budget(accepted, options.budget);
    outcomes = check_budget(*budget, run, ownership);
    answer.outcomes = outcomes;
  }
  tell(options, answer);
  return conclude(options.common, options.common.trace, budget_checks(answer));
}

} // namespace

int run_check(int argc, char** argv) {
  CLI::App app(
      "Whether a run is within its budget: limits on totals, on places in the code and on tests, in a file\n"
      "that is committed beside the code.",
      "heapledger check");
  CheckOptions options;
  options.common.add_trace(app, true);
  app.add_option("--budget", options.budget, "the budget (docs/ci.md)")->option_text("FILE");
  app.add_flag("--update-budget", options.update,
               "write the numbers of this run where it failed, and tests that are new; make the file if "
               "there is none");
  app.add_option("--baseline", options.baseline,
                 "an earlier run, or its saved profile: places at fault are those that grew since")
      ->option_text("TRACE");
  app.add_option("--write-baseline", options.write_baseline,
                 "save this run as a small file that diff and --baseline take for a trace")
      ->option_text("FILE");
  app.add_flag("--all-tests", options.all_tests, "a test of the budget that did not run is a failure");
  options.common.add_output(app);
  app.add_option("--markdown", options.markdown, "write a summary to FILE, for a comment")
      ->option_text("FILE");
  app.add_option("--sarif", options.sarif, "write what failed to FILE, as SARIF 2.1.0")->option_text("FILE");
  options.common.add_reports(app, "the checks");
  options.ownership.add_options(app);
  options.rules.add(app);
  options.common.add_symbols(app);
  return guarded_main(app, argc, argv, [&] { return answer_check(options); });
}

} // namespace hl
