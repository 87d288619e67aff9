// See diff_limits.h.
#include "cli/diff_limits.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "analyses/metrics.h"
#include "cli/trace_options.h"
#include "renderers/diff_output.h"

namespace hl {
namespace {

std::string place_line(const RunDiff& diff, ProfileMetric metric, const DiffPlace& place) {
  TextStyle style;
  style.exact = true;
  const ResolvedFrame frame = profile_frame(diff.profile(place.named.side), place.named.frame);
  std::string line = signed_amount(place_delta(diff, metric, place), facts(metric).unit, style) + "  " +
                     std::string(frame.function);
  if (!frame.file.empty())
    line += "  " + std::string(frame.file) + (frame.line != 0 ? ":" + std::to_string(frame.line) : "");
  return line;
}

// What grew most, and where to look first.
void blame(const RunDiff& diff, ProfileMetric metric, CheckResult& check) {
  std::vector<DiffPlace> places = diff_places(diff);
  std::erase_if(places, [&](const DiffPlace& place) { return place_delta(diff, metric, place) <= 0; });
  std::stable_sort(places.begin(), places.end(), [&](const DiffPlace& a, const DiffPlace& b) {
    return place_delta(diff, metric, a) > place_delta(diff, metric, b);
  });
  constexpr size_t kNamed = 10;
  for (size_t i = 0; i < std::min(places.size(), kNamed); ++i)
    check.details += place_line(diff, metric, places[i]) + "\n";
  for (const DiffPlace& place : places) {
    const RunProfile& profile = diff.profile(place.named.side);
    const ProfileFrame& frame = profile.frames[place.named.frame];
    if (place.named.side != kNew || !frame.own() || profile.file(frame).empty())
      continue;
    check.file = profile.file(frame);
    check.line = frame.line;
    break;
  }
}

} // namespace

std::optional<DiffLimit> parse_diff_limit(const std::string& text, std::string& why) {
  const size_t equals = text.find('=');
  const auto refuse = [&](const std::string& reason) -> std::optional<DiffLimit> {
    why = reason;
    return {};
  };
  if (equals == std::string::npos || equals == 0 || equals + 1 == text.size())
    return refuse("--max wants METRIC=+VALUE, such as peak_bytes=+2%, not '" + text + "'");
  const auto metric = parse_profile_metric(text.substr(0, equals));
  if (!metric)
    return refuse("there is no metric '" + text.substr(0, equals) +
                  "' to compare; `heapledger diff --help` lists them, `heapledger metrics TRACE --max` "
                  "limits others");
  DiffLimit limit;
  limit.metric = *metric;
  limit.text = text.substr(equals + 1);
  std::string value = limit.text;
  limit.relative = value.front() == '+';
  if (limit.relative)
    value.erase(0, 1);
  limit.percent = limit.relative && !value.empty() && value.back() == '%';
  if (limit.percent) {
    value.pop_back();
    const char* end = value.data() + value.size();
    const auto [rest, error] = std::from_chars(value.data(), end, limit.value);
    if (error != std::errc() || rest != end || !(limit.value >= 0))
      return refuse("'" + limit.text + "' is no percentage");
    return limit;
  }
  const auto parsed = parse_limit(text.substr(0, equals) + "=" + value);
  if (!parsed)
    return refuse("'" + limit.text + "' is no value; use +2%, +64k or 100M");
  limit.value = static_cast<double>(parsed->value);
  return limit;
}

std::vector<CheckResult> check_diff_limits(const std::vector<DiffLimit>& limits, const RunDiff& diff) {
  std::vector<CheckResult> checks;
  TextStyle style;
  style.exact = true;
  for (const DiffLimit& limit : limits) {
    const ProfileMetricFacts& metric = facts(limit.metric);
    if (!diff.has(limit.metric))
      throw UsageError("metric '" + std::string(metric.name) + "' has no value in " +
                       (diff.profile(kBase).of_run.has(limit.metric) ? "the new" : "the base") + " trace");
    const double base = diff.value(kBase, limit.metric, diff.totals(kBase));
    const double next = diff.value(kNew, limit.metric, diff.totals(kNew));
    const double allowed = !limit.relative ? limit.value
                           : limit.percent ? base * (1 + limit.value / 100)
                                           : base + limit.value;
    CheckResult check;
    check.group = "limits";
    check.name = metric.name;
    check.passed = next <= allowed;
    const std::string percent = signed_percent(base, next);
    check.message = std::string(metric.name) + " went from " + amount(base, metric.unit, style) + " to " +
                    amount(next, metric.unit, style) + " (" + signed_amount(next - base, metric.unit, style) +
                    (percent.empty() || percent == "new" ? "" : ", " + percent) + "), " +
                    (check.passed ? "within " : "more than ") + limit.text;
    if (!check.passed)
      blame(diff, limit.metric, check);
    checks.push_back(std::move(check));
  }
  return checks;
}

void excuse_noise(const std::vector<DiffLimit>& limits, const ManyRuns& many,
                  std::vector<CheckResult>& checks) {
  for (size_t i = 0; i < checks.size(); ++i) {
    CheckResult& check = checks[i];
    const ShiftVerdict verdict = many.total(limits[i].metric).verdict;
    // An absolute limit is about the newer runs alone.
    if (check.passed || !limits[i].relative)
      continue;
    if (verdict == ShiftVerdict::undecided) {
      check.message += "; these runs are too few to tell it from noise";
    } else if (verdict == ShiftVerdict::noise || verdict == ShiftVerdict::small) {
      check.passed = true;
      check.message += ", but no more than runs of one side differ by";
      check.details.clear();
      check.file.clear();
    }
  }
}

} // namespace hl
