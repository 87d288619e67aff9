// Budgets: what is read, what is refused and where, what fails, and the patch that accepts it.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include "budget/budget_check.h"
#include "budget/json_places.h"
#include "budget/unified_diff.h"
#include "testing/profile_maker.h"

namespace hl {
namespace {

using testing::MadeFrame;
using testing::ProfileMaker;

std::string error_of(const std::string& text) {
  try {
    parse_budget(text, "budget.json");
  } catch (const BudgetError& error) {
    return error.what();
  }
  return "";
}

RunProfile profile() {
  ProfileMaker maker;
  const MadeFrame main{"main"};
  maker.site({{"app::Cache::fill(int)", "/build/7/src/cache.cc", 88}, main}, 10, 1000);
  maker.site({{"app::Cache::fill(int)", "/build/7/src/cache.cc", 99}, main}, 5, 500);
  maker.site({{"app::load()", "/build/7/src/load.cc", 12}, main}, 1, 8500);
  return std::move(maker.profile);
}

std::vector<BudgetOutcome> outcomes(const std::string& text,
                                    const std::map<std::string, TestStretch>& tests = {}) {
  static const Ownership ownership{SourceTree("/nonexistent"), {}};
  static RunProfile made;
  made = profile();
  return check_budget(parse_budget(text, "b"), {made, &tests, nullptr}, ownership);
}

BudgetVerdict verdict(const std::string& limit) {
  return outcomes(R"({"version":1,"metrics":{"peak_bytes":)" + limit + "}}").at(0).verdict;
}

} // namespace

TEST_CASE("errors say where they are") {
  CHECK(error_of("{\n  \"version\": 1,\n  \"metrics\": {\"peak_bytes\": 5}\n}")
            .find("budget.json: line 3, column 29, at /metrics/peak_bytes: wants") == 0);
  CHECK(error_of("{\n \"version\": 1,,\n}").find("budget.json: line 2, column 15: syntax error") == 0);
  CHECK(error_of("").find("budget.json: line 1, column 1") == 0);
  CHECK(error_of("{\"version\": 1e999}").find("number beyond all bounds") != std::string::npos);
  CHECK(error_of("[]").find("a budget is an object") != std::string::npos);
  CHECK(error_of("{}").find("\"version\" is missing") != std::string::npos);
  CHECK(error_of(R"({"version": 2})").find("at /version: only version 1") != std::string::npos);
  CHECK(error_of(R"({"version": 1, "metric": {}})").find("at /metric: no such key") != std::string::npos);
  CHECK(error_of(R"({"version": 1, "sites": [{"function": "f", "metrics": {"peek": {"max": 1}}}]})")
            .find("at /sites/0/metrics/peek: there is no") != std::string::npos);
  // Which of the trace's own metrics there are is known when it is checked.
  const Budget other = parse_budget(R"({"version": 1, "metrics": {"peek": {"max": 1}}})", "budget.json");
  CHECK(!other.entries.at(0).profiled);
  CHECK(other.entries[0].place == "budget.json: line 1, column 36, at /metrics/peek");
  CHECK(error_of(R"({"version": 1, "metrics": {"peak_bytes": {"max": -1}}})")
            .find("peak_bytes/max: an amount") != std::string::npos);
  CHECK(error_of(R"({"version": 1, "metrics": {"peak_bytes": {"max": 1, "base": 1}}})").find("either") !=
        std::string::npos);
  CHECK(error_of(R"({"version": 1, "ratchet": 5})").find("at /ratchet") != std::string::npos);
  CHECK(error_of(R"({"version": 1, "sites": [{"metrics": {}}]})")
            .find("at /sites/0: \"function\" is missing") != std::string::npos);
  CHECK(error_of(R"({"version": 1, "tests": {"a/b": {"peak_rss_bytes": {"max": 1}}}})")
            .find("at /tests/a~1b/peak_rss") != std::string::npos);
  CHECK(error_of("{\"version\": 1,\n \"version\": 1}")
            .find("line 2, column 2: the key \"version\" is given twice") != std::string::npos);
  CHECK(error_of(std::string(5000, '[') + std::string(5000, ']')).find("nested too deeply") !=
        std::string::npos);
}

TEST_CASE("more than allowed is over, much less than the base is under") {
  CHECK(verdict(R"({"max": 10000})") == BudgetVerdict::held);
  CHECK(verdict(R"({"max": 9999})") == BudgetVerdict::over);
  CHECK(verdict(R"({"max": "1G"})") == BudgetVerdict::held); // a cap has no ratchet
  CHECK(verdict(R"({"base": 9804, "tolerance": "2%"})") == BudgetVerdict::held);
  CHECK(verdict(R"({"base": 9803, "tolerance": "2%"})") == BudgetVerdict::over);
  CHECK(verdict(R"({"base": 9900, "tolerance": 100})") == BudgetVerdict::held);
  CHECK(verdict(R"({"base": 9900})") == BudgetVerdict::over);
  CHECK(verdict(R"({"base": 10526})") == BudgetVerdict::held);
  CHECK(verdict(R"({"base": 10527})") == BudgetVerdict::under);
  CHECK(verdict(R"({"base": 11000, "tolerance": "10%"})") == BudgetVerdict::held);
  CHECK(outcomes(R"({"version":1,"ratchet":false,"metrics":{"peak_bytes":{"base":50000}}})").at(0).verdict ==
        BudgetVerdict::held);
  const BudgetOutcome under = outcomes(R"({"version":1,"metrics":{"peak_bytes":{"base":50000}}})").at(0);
  CHECK(under.message.find("lower the budget") != std::string::npos);
}

TEST_CASE("sites are summed by function and file") {
  const auto value = [](const std::string& site) {
    return outcomes(R"({"version":1,"sites":[{)" + site + R"(,"metrics":{"peak_bytes":{"max":0}}}]})")
        .at(0)
        .value;
  };
  CHECK(value(R"("function": "app::Cache::fill")") == 1500);
  CHECK(value(R"x("function": "app::Cache::fill(long)", "file": "src/cache.cc")x") == 1500);
  CHECK(value(R"("function": "app::Cache::fill", "file": "other/cache.cc")") == 0);
  CHECK(value(R"("function": "fill")") == 0);
}

TEST_CASE("a total names the places that have most of it") {
  const BudgetOutcome over = outcomes(R"({"version":1,"metrics":{"peak_bytes":{"max":1}}})").at(0);
  REQUIRE(over.places.size() == 2);
  CHECK(over.places[0].canonical == "app::load");
  CHECK(over.places[0].line == 12);
  CHECK(over.places[1].value == 1500);
}

TEST_CASE("tests have budgets of their own") {
  std::map<std::string, TestStretch> tests;
  tests["parse"].metrics[ProfileMetric::allocation_calls] = 7;
  const auto result = outcomes(
      R"({"version":1,"tests":{"parse":{"allocation_calls":{"max":6}},"other":{"peak_bytes":{"max":6}}}})",
      tests);
  REQUIRE(result.size() == 2);
  CHECK(result[0].name == "other peak_bytes");
  CHECK(result[0].verdict == BudgetVerdict::not_run);
  CHECK(result[1].verdict == BudgetVerdict::over);
  CHECK(result[1].value == 7);
}

TEST_CASE("accepting changes the failed numbers and nothing else") {
  const std::string text =
      "{ \"version\":1,\n   \"metrics\" : {\n\t\"peak_bytes\": {\"base\":  \"1k\" , \"tolerance\": 5},\n"
      "\t\"allocation_calls\": {\"max\": 16}},\n  \"tests\": {}}";
  const Budget budget = parse_budget(text, "b");
  const RunProfile run = profile();
  std::map<std::string, TestStretch> tests;
  tests["a \"b\""].metrics[ProfileMetric::peak_bytes] = 3;
  const MeasuredRun measured{run, &tests, nullptr};
  const auto checked = check_budget(budget, measured, {SourceTree("/nonexistent"), {}});
  std::string expected = text;
  expected.replace(expected.find("\"1k\""), 4, "10000");
  CHECK(accepted_budget(budget, checked, measured, false) == expected);
  // With its new tests it holds, and is read again.
  const std::string with_tests = accepted_budget(budget, checked, measured, true);
  for (const BudgetOutcome& outcome :
       check_budget(parse_budget(with_tests, "b"), measured, {SourceTree("/"), {}}))
    CHECK(outcome.verdict == BudgetVerdict::held);
  CHECK(parse_budget(with_tests, "b").entries.size() == 4);
  CHECK(accepted_budget(parse_budget(with_tests, "b"), {}, measured, true) == with_tests);
}

TEST_CASE("a first budget holds for the run it was made of") {
  const RunProfile run = profile();
  std::map<std::string, TestStretch> tests;
  tests["x"].metrics[ProfileMetric::peak_bytes] = 3;
  const MeasuredRun measured{run, &tests, nullptr};
  const Ownership ownership{SourceTree("/nonexistent"), {}};
  const Budget budget = parse_budget(first_budget(measured, ownership), "b");
  const auto checked = check_budget(budget, measured, ownership);
  CHECK(checked.size() == 8);
  for (const BudgetOutcome& outcome : checked)
    CHECK(outcome.verdict == BudgetVerdict::held);
}

TEST_CASE("patches") {
  const std::string before = "a\nb\nc\nd\ne\nf\ng\nh\ni\n";
  CHECK(unified_diff("p", &before, before) == "");
  CHECK(unified_diff("x/p", &before, "a\nb\nc\nd\nE\nf\ng\nh\ni\n") ==
        "--- a/x/p\n+++ b/x/p\n@@ -2,7 +2,7 @@\n b\n c\n d\n-e\n+E\n f\n g\n h\n");
  CHECK(unified_diff("p", nullptr, "a\nb\n") == "--- /dev/null\n+++ b/p\n@@ -0,0 +1,2 @@\n+a\n+b\n");
  const std::string bare = "a";
  CHECK(unified_diff("p", &bare, "b") ==
        "--- a/p\n+++ b/p\n@@ -1,1 +1,1 @@\n-a\n\\ No newline at end of file\n+b\n"
        "\\ No newline at end of file\n");
}

} // namespace hl
