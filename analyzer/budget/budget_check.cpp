// See budget_check.h.
#include "budget/budget_check.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>

#include "budget/json_places.h"
#include "diff/canonical_name.h"
#include "diff/diff_places.h"

namespace hl {
namespace {

constexpr size_t kPlaces = 5;
constexpr char kTolerance[] = "2%";

std::string number(uint64_t value) {
  std::string digits = std::to_string(value);
  for (size_t at = digits.size(); at > 3;)
    digits.insert(at -= 3, ",");
  return digits;
}

std::string amount_text(uint64_t value, MetricUnit unit) {
  return number(value) + (unit == MetricUnit::bytes ? " B" : unit == MetricUnit::nanoseconds ? " ns" : "");
}

void keep_worst(std::vector<FaultPlace>& faults) {
  std::stable_sort(faults.begin(), faults.end(), [](const FaultPlace& a, const FaultPlace& b) {
    return a.value != b.value ? a.value > b.value : a.canonical < b.canonical;
  });
  if (faults.size() > kPlaces)
    faults.resize(kPlaces);
}

class Checker {
 public:
  Checker(const Budget& budget, const MeasuredRun& run, const Ownership& ownership)
      : budget_(budget), run_(run), ownership_(ownership), places_(site_places(run.profile)) {}

  BudgetOutcome check(const BudgetEntry& entry) const {
    BudgetOutcome outcome;
    outcome.entry = entry;
    outcome.name = entry_name(entry);
    const std::optional<uint64_t> value = measured(entry, outcome.unit);
    outcome.allowed = entry.value;
    if (entry.relative)
      outcome.allowed += static_cast<uint64_t>(entry.tolerance.of(entry.value));
    if (!value) {
      outcome.verdict = BudgetVerdict::not_run;
      outcome.message = "test " + entry.test + " did not run: there is no mark test:" + entry.test;
      return outcome;
    }
    outcome.value = *value;
    if (outcome.value > outcome.allowed)
      outcome.verdict = BudgetVerdict::over;
    else if (entry.relative && budget_.ratchet && below_ratchet(entry, outcome.value))
      outcome.verdict = BudgetVerdict::under;
    outcome.message = message(outcome);
    if (outcome.verdict == BudgetVerdict::over ||
        (outcome.verdict == BudgetVerdict::under && entry.group == BudgetGroup::sites))
      outcome.places = at_fault(entry);
    return outcome;
  }

 private:
  bool below_ratchet(const BudgetEntry& entry, uint64_t value) const {
    const double margin =
        std::max(entry.tolerance.of(entry.value), static_cast<double>(entry.value) * *budget_.ratchet / 100);
    return static_cast<double>(value) < static_cast<double>(entry.value) - margin;
  }

  bool is_meant(const SitePlace& place, const BudgetEntry& entry) const {
    return place.canonical == canonical_name(entry.function).name &&
           (entry.file.empty() || is_file(run_.profile.file(run_.profile.frames[place.frame]), entry.file));
  }

  [[noreturn]] void missing(const BudgetEntry& entry) const {
    throw BudgetError(entry.place + ": this run does not tell " + entry.metric +
                      (entry.metric.starts_with("definite.") ? ": it was recorded without a leak scan" : ""));
  }

  std::optional<uint64_t> measured(const BudgetEntry& entry, MetricUnit& unit) const {
    if (!entry.profiled)
      return measured_of_trace(entry, unit);
    const ProfileMetric metric = *entry.profiled;
    unit = facts(metric).unit;
    if (entry.group == BudgetGroup::tests) {
      const auto test = run_.tests->find(entry.test);
      return test == run_.tests->end() ? std::nullopt : std::optional(test->second.metrics[metric]);
    }
    if (entry.group == BudgetGroup::metrics) {
      if (!run_.profile.of_run.has(metric))
        missing(entry);
      return run_.profile.totals[metric];
    }
    if (!run_.profile.of_sites.has(metric))
      missing(entry);
    uint64_t sum = 0;
    for (const SitePlace& place : places_)
      if (is_meant(place, entry))
        sum += place.metrics[metric];
    return sum;
  }

  std::optional<uint64_t> measured_of_trace(const BudgetEntry& entry, MetricUnit& unit) const {
    if (run_.metrics == nullptr)
      throw BudgetError(entry.place + ": the trace alone tells " + entry.metric +
                        ", a saved profile does not");
    for (const Metric& metric : *run_.metrics)
      if (metric.name == entry.metric) {
        unit = metric.unit;
        if (!metric.value)
          missing(entry);
        return metric.value;
      }
    throw BudgetError(entry.place + ": there is no such metric; `heapledger metrics` lists them");
  }

  std::string message(const BudgetOutcome& outcome) const {
    const BudgetEntry& entry = outcome.entry;
    std::string text = outcome.name + " is " + amount_text(outcome.value, outcome.unit);
    const std::string budget =
        (entry.relative ? "base " + amount_text(entry.value, outcome.unit) + ", " : std::string()) +
        "at most " + amount_text(outcome.allowed, outcome.unit);
    if (outcome.verdict == BudgetVerdict::over)
      return text + ", " + amount_text(outcome.value - outcome.allowed, outcome.unit) + " over budget (" +
             budget + ")";
    if (outcome.verdict == BudgetVerdict::under)
      return text + ", better than its base of " + amount_text(entry.value, outcome.unit) +
             " by more than the ratchet's margin: lower the budget, so that the gain is kept";
    return text + ", within budget (" + budget + ")";
  }

  // Of one place: its own. Of a total: what grew against the baseline, else what has most of it.
  std::vector<FaultPlace> at_fault(const BudgetEntry& entry) const {
    std::vector<FaultPlace> faults;
    if (!entry.profiled)
      return faults;
    const ProfileMetric metric = *entry.profiled;
    if (entry.group == BudgetGroup::sites) {
      for (const SitePlace& place : places_)
        if (is_meant(place, entry))
          faults.push_back(fault(place, metric));
    } else if (entry.group == BudgetGroup::metrics && facts(metric).of_sites) {
      if (run_.against != nullptr && run_.against->has_for_sites(metric))
        return grown(metric);
      for (const SitePlace& place : places_)
        if (place.metrics[metric] != 0)
          faults.push_back(fault(place, metric));
    }
    keep_worst(faults);
    return faults;
  }

  FaultPlace fault(const SitePlace& place, ProfileMetric metric) const {
    FaultPlace result = ownership_.place(run_.profile, place.frame);
    result.value = static_cast<double>(place.metrics[metric]);
    return result;
  }

  std::vector<FaultPlace> grown(ProfileMetric metric) const {
    const RunDiff& diff = *run_.against;
    std::vector<FaultPlace> faults;
    for (const DiffPlace& place : diff_places(diff)) {
      const double change = place_delta(diff, metric, place);
      if (change <= 0)
        continue;
      FaultPlace result = ownership_.place(diff.profile(place.named.side), place.named.frame);
      result.value = diff.value(kNew, metric, place.next);
      result.change = change;
      faults.push_back(std::move(result));
    }
    std::stable_sort(faults.begin(), faults.end(),
                     [](const FaultPlace& a, const FaultPlace& b) { return *a.change > *b.change; });
    if (faults.size() > kPlaces)
      faults.resize(kPlaces);
    return faults;
  }

  const Budget& budget_;
  const MeasuredRun& run_;
  const Ownership& ownership_;
  const std::vector<SitePlace> places_;
};

nlohmann::ordered_json relative_limit(uint64_t value) {
  return {{"base", value}, {"tolerance", kTolerance}};
}

nlohmann::ordered_json test_limits(const TestStretch& test) {
  return {{"allocation_calls", relative_limit(test.metrics[ProfileMetric::allocation_calls])},
          {"peak_bytes", relative_limit(test.metrics[ProfileMetric::peak_bytes])}};
}

std::string dumped(const nlohmann::ordered_json& value, int indent) {
  return value.dump(indent, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

// A new member at the end of the object at that place.
void add_member(std::string& text, const std::string& pointer, const std::string& key,
                const std::string& value) {
  const JsonPlaces places(text);
  const JsonRange* object = places.find(pointer);
  if (object == nullptr || object->end < object->begin + 2)
    return;
  const size_t brace = object->end - 1;
  const size_t last = text.find_last_not_of(" \t\r\n", brace - 1);
  const bool empty = text[last] == '{';
  const std::string member = std::string(empty ? "" : ",") + "\n    " + dumped(key, -1) + ": " + value;
  const bool same_line = text.find('\n', last) >= brace;
  text.insert(last + 1, member + (same_line ? "\n  " : ""));
}

} // namespace

std::string_view to_string(BudgetVerdict verdict) {
  switch (verdict) {
  case BudgetVerdict::over:
    return "over";
  case BudgetVerdict::under:
    return "under";
  case BudgetVerdict::not_run:
    return "not_run";
  case BudgetVerdict::held:
    break;
  }
  return "held";
}

FaultPlace Ownership::place(const RunProfile& profile, uint32_t index) const {
  FaultPlace result;
  const ProfileFrame& frame = profile.frames[index];
  result.function = index == 0 ? "[stack not known]" : std::string(profile.function(frame));
  result.canonical = canonical_name(result.function).name;
  const std::string recorded(profile.file(frame));
  result.line = frame.line;
  if (recorded.empty())
    return result;
  const std::string located = tree.locate(recorded);
  result.file = located.empty() ? recorded : located;
  result.owner = located.empty() ? "" : owners.owners(located);
  return result;
}

bool wants_metrics(const Budget& budget) {
  return std::any_of(budget.entries.begin(), budget.entries.end(),
                     [](const BudgetEntry& entry) { return !entry.profiled; });
}

std::vector<BudgetOutcome> check_budget(const Budget& budget, const MeasuredRun& run,
                                        const Ownership& ownership) {
  const Checker checker(budget, run, ownership);
  std::vector<BudgetOutcome> outcomes;
  for (const BudgetEntry& entry : budget.entries)
    outcomes.push_back(checker.check(entry));
  return outcomes;
}

std::vector<FaultPlace> places_of(const RunProfile& profile, ProfileMetric metric,
                                  const Ownership& ownership) {
  std::vector<FaultPlace> faults;
  for (const SitePlace& place : site_places(profile)) {
    faults.push_back(ownership.place(profile, place.frame));
    faults.back().value = static_cast<double>(place.metrics[metric]);
  }
  keep_worst(faults);
  return faults;
}

std::string accepted_budget(const Budget& budget, const std::vector<BudgetOutcome>& outcomes,
                            const MeasuredRun& run, bool new_tests) {
  std::vector<NewNumber> numbers;
  for (const BudgetOutcome& outcome : outcomes)
    if (outcome.failed())
      numbers.push_back({outcome.entry.pointer, outcome.value});
  std::string text = with_numbers(budget, numbers);
  if (!new_tests || run.tests == nullptr || !budget.has_tests)
    return text;
  for (const auto& [name, test] : *run.tests) {
    const bool known = JsonPlaces(text).find("/tests/" + pointer_part(name)) != nullptr;
    if (!known)
      add_member(text, "/tests", name, dumped(test_limits(test), -1));
  }
  return text;
}

std::string first_budget(const MeasuredRun& run, const Ownership& ownership) {
  using enum ProfileMetric;
  nlohmann::ordered_json budget = {{"version", kBudgetVersion}, {"ratchet", "5%"}};
  nlohmann::ordered_json& metrics = budget["metrics"];
  for (const ProfileMetric metric : {peak_bytes, allocation_calls, exit_bytes})
    metrics[std::string(facts(metric).name)] = relative_limit(run.profile.totals[metric]);
  if (run.profile.of_run.has(definite_bytes))
    metrics["definite.bytes"] = {{"max", run.profile.totals[definite_bytes]}};
  // Places of the program's own code that have a twentieth of the peak.
  std::vector<SitePlace> places = site_places(run.profile);
  std::erase_if(places, [&](const SitePlace& place) {
    return !run.profile.frames[place.frame].own() || place.frame == 0 ||
           place.metrics[peak_bytes] * 20 < run.profile.totals[peak_bytes] || place.metrics[peak_bytes] == 0;
  });
  std::stable_sort(places.begin(), places.end(), [](const SitePlace& a, const SitePlace& b) {
    return a.metrics[peak_bytes] > b.metrics[peak_bytes];
  });
  nlohmann::ordered_json sites = nlohmann::ordered_json::array();
  for (const SitePlace& place : places) {
    const FaultPlace named = ownership.place(run.profile, place.frame);
    nlohmann::ordered_json site = {{"function", named.canonical}};
    // A path that another machine has as well, or none.
    if (!named.file.empty() && !named.file.starts_with('/'))
      site["file"] = named.file;
    site["metrics"] = {{"peak_bytes", relative_limit(place.metrics[peak_bytes])}};
    sites.push_back(std::move(site));
  }
  if (!sites.empty())
    budget["sites"] = std::move(sites);
  if (run.tests != nullptr && !run.tests->empty())
    for (const auto& [name, test] : *run.tests)
      budget["tests"][name] = test_limits(test);
  return dumped(budget, 2) + "\n";
}

} // namespace hl
