// `diff` for a comment on a pull request, and as findings. See diff_output.h.
#include <algorithm>
#include <cmath>

#include "renderers/budget_output.h"
#include "renderers/diff_output.h"

namespace hl {
namespace {

// Where several runs a side are compared, places of which no site's change is certain are left out.
bool is_told(const DiffAnswer& answer, const DiffPlace& place) {
  if (answer.many == nullptr)
    return true;
  const ProfileMetric by = answer.diff.options().by;
  return std::any_of(place.sites.begin(), place.sites.end(),
                     [&](uint32_t site) { return answer.many->site(by, site).told(); });
}

std::vector<DiffPlace> told_places(const DiffAnswer& answer) {
  std::vector<DiffPlace> places = diff_places(answer.diff);
  const ProfileMetric by = answer.diff.options().by;
  std::erase_if(places, [&](const DiffPlace& place) {
    return place_delta(answer.diff, by, place) == 0 || !is_told(answer, place);
  });
  return places;
}

std::string place_text(const FaultPlace& place) {
  return short_function(place.function) +
         (place.file.empty() ? ""
                             : "  " + place.file + (place.line != 0 ? ":" + std::to_string(place.line) : ""));
}

} // namespace

std::string diff_markdown(const DiffAnswer& answer, const Ownership& ownership,
                          std::span<const CheckResult> checks) {
  const RunDiff& diff = answer.diff;
  TextStyle style;
  const ProfileMetric by = diff.options().by;
  const MetricUnit unit = facts(by).unit;
  const double base = diff.value(kBase, by, diff.totals(kBase)),
               next = diff.value(kNew, by, diff.totals(kNew));
  const auto failed =
      std::count_if(checks.begin(), checks.end(), [](const CheckResult& c) { return !c.passed; });
  std::string out = "### heapledger: ";
  if (!checks.empty())
    out += failed == 0 ? "within limits, "
                       : std::to_string(failed) + " of " + plural(checks.size(), "limit") + " exceeded, ";
  const bool noise = answer.many != nullptr && !answer.many->total(by).told();
  const std::string percent = signed_percent(base, next);
  out += std::string(facts(by).label) + " " +
         (base == next ? "unchanged"
          : noise ? "not told from noise (" + std::string(to_string(answer.many->total(by).verdict)) + ")"
                  : signed_amount(next - base, unit, style) + (percent.empty() ? "" : " (" + percent + ")")) +
         "\n\n";
  for (const CheckResult& check : checks)
    if (!check.passed)
      out += "- **limit exceeded**: " + printable(check.message) + "\n";
  out += std::string(failed == 0 ? "" : "\n") + "| | base | new | change |" +
         (answer.many ? " verdict |" : "") + "\n|---|---:|---:|---:|" + (answer.many ? "---|" : "") + "\n";
  for (const ProfileMetricFacts& metric : profile_metrics()) {
    if (!diff.has(metric.metric))
      continue;
    const double before = diff.value(kBase, metric.metric, diff.totals(kBase)),
                 after = diff.value(kNew, metric.metric, diff.totals(kNew));
    out += "| " + std::string(metric.label) + " | " + amount(before, metric.unit, style) + " | " +
           amount(after, metric.unit, style) + " | " + signed_amount(after - before, metric.unit, style) +
           " |";
    if (answer.many != nullptr)
      out += " " + std::string(to_string(answer.many->total(metric.metric).verdict)) + " |";
    out += "\n";
  }
  const std::vector<DiffPlace> places = told_places(answer);
  if (places.empty())
    return out;
  constexpr size_t kShown = 10;
  out += "\n| change | base | new | where | owner |\n|---:|---:|---:|---|---|\n";
  for (size_t i = 0; i < std::min(places.size(), kShown); ++i) {
    const DiffPlace& place = places[i];
    const FaultPlace named = ownership.place(diff.profile(place.named.side), place.named.frame);
    out += "| " + signed_amount(place_delta(diff, by, place), unit, style) + " | " +
           amount(diff.value(kBase, by, place.base), unit, style) + " | " +
           amount(diff.value(kNew, by, place.next), unit, style) + " | " + markdown_code(place_text(named)) +
           " | " + printable(named.owner) + " |\n";
  }
  if (places.size() > kShown)
    out += "\nand " + plural(places.size() - kShown, "more place") + "\n";
  return out;
}

std::vector<SarifFinding> diff_findings(const DiffAnswer& answer, const Ownership& ownership,
                                        std::span<const CheckResult> checks) {
  std::vector<SarifFinding> findings;
  for (const CheckResult& check : checks) {
    if (check.passed)
      continue;
    SarifFinding finding;
    finding.rule = SarifRule::diff_limit;
    finding.message = check.message;
    finding.identity = check.name;
    const std::string located = ownership.tree.locate(check.file);
    finding.file = located.empty() ? check.file : located;
    finding.line = check.line;
    // What no place of the code is to blame for (RSS) is about the run that was looked at; code scanning
    // takes no finding that is nowhere.
    if (finding.file.empty())
      finding.file = answer.new_name;
    findings.push_back(std::move(finding));
  }
  const RunDiff& diff = answer.diff;
  const ProfileMetric by = diff.options().by;
  std::vector<std::string> told;
  for (const DiffPlace& place : told_places(answer)) {
    const double base = diff.value(kBase, by, place.base), change = place_delta(diff, by, place);
    const double least = facts(by).unit == MetricUnit::bytes ? kFloorBytes : kFloorCount;
    if (change < std::max(least, kFloorShare * base))
      continue;
    const FaultPlace named = ownership.place(diff.profile(place.named.side), place.named.frame);
    SarifFinding finding;
    finding.rule = SarifRule::diff_grew;
    finding.level = SarifLevel::note;
    // New and changed sites of one function are one alert.
    finding.identity = named.canonical;
    if (std::find(told.begin(), told.end(), finding.identity) != told.end())
      continue;
    told.push_back(finding.identity);
    TextStyle style;
    finding.message = short_function(named.function) + ": " + signed_amount(change, facts(by).unit, style) +
                      " " + std::string(facts(by).label) + " compared with the base run";
    finding.file = named.file.empty() ? answer.new_name : named.file;
    finding.line = named.line;
    findings.push_back(std::move(finding));
  }
  return findings;
}

} // namespace hl
