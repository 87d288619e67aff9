// `diff` of several runs a side, for people: first what is certain, then the totals with their ranges, then
// the sites whose change is certain. See diff_output.h.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "renderers/diff_output.h"
#include "renderers/report_parts.h"
#include "renderers/stack_text.h"

namespace hl {
namespace {

constexpr size_t kCallers = 4;

std::string probability(double p) {
  char text[32];
  std::snprintf(text, sizeof text, p < 0.001 ? "%.1e" : "%.3f", p);
  return text;
}

class ManyRunsText {
 public:
  ManyRunsText(const DiffAnswer& answer, const TextStyle& style)
      : answer_(answer), diff_(answer.diff), many_(*answer.many), style_(style) {}

  std::string run() { return headlines() + verdict() + totals() + sites() + matching(); }

 private:
  std::string headlines() const {
    std::string out;
    for (const Side side : {kBase, kNew}) {
      const RunProfile& profile = diff_.profile(side);
      const std::string count = plural(many_.side(side).runs(), "run");
      out += style_.bold(side == kBase ? "base    " : "new     ") + pad_right(count, 10) +
             style_.dim(fit(printable(profile.command), style_.width - 20, style_)) + "\n";
    }
    return out;
  }

  std::string range(const SideSummary& side, MetricUnit unit) const {
    return amount(side.low, unit, style_) + (style_.unicode ? " … " : " ... ") +
           amount(side.high, unit, style_);
  }

  // How sure a change is: "exactly, in every run", or the interval and its q.
  std::string certainty(const ShiftOfRuns& shift, MetricUnit unit) const {
    if (shift.exact)
      return "in every run";
    char confidence[32];
    std::snprintf(confidence, sizeof confidence, "%.0f %%", std::floor(100 * shift.shift.confidence));
    std::string text = std::string(confidence) + " interval " + signed_amount(shift.shift.low, unit, style_) +
                       " to " + signed_amount(shift.shift.high, unit, style_);
    if (shift.tested)
      text += ", q " + probability(shift.q);
    return text;
  }

  std::string verdict() const {
    std::string out = "\n";
    size_t told = 0, undecided = 0;
    for (const ProfileMetricFacts& metric : profile_metrics()) {
      if (!diff_.has(metric.metric))
        continue;
      const ShiftOfRuns& shift = many_.total(metric.metric);
      undecided += shift.verdict == ShiftVerdict::undecided ? 1 : 0;
      if (!shift.told())
        continue;
      ++told;
      const std::string percent = signed_percent(shift.base.median, shift.base.median + shift.shift.estimate);
      out += wrapped(std::string(metric.label) + " " + std::string(to_string(shift.verdict)) + " by " +
                         amount(std::abs(shift.shift.estimate), metric.unit, style_) +
                         (percent.empty() || percent == "new" ? "" : " (" + percent + ")") + ": " +
                         certainty(shift, metric.unit) + ".",
                     "", "", style_);
    }
    if (told == 0 && undecided == 0)
      out += wrapped("Nothing changed that is more than what runs of one side differ by.", "", "", style_);
    if (undecided != 0) {
      char least[32];
      std::snprintf(least, sizeof least, "%.2f",
                    smallest_p(many_.side(kBase).runs(), many_.side(kNew).runs()));
      out += wrapped("Too few runs to tell " + plural(undecided, "changed total") + " from noise: with " +
                         std::to_string(many_.side(kBase).runs()) + " and " +
                         std::to_string(many_.side(kNew).runs()) + " runs p cannot get below " + least +
                         "; four a side are the least, five are better.",
                     "", "", style_);
    }
    return out;
  }

  static const char* verdict_word(const ShiftOfRuns& shift) {
    switch (shift.verdict) {
    case ShiftVerdict::same:
      return "same";
    case ShiftVerdict::grew:
      return shift.exact ? "grew, exact" : "grew";
    case ShiftVerdict::shrank:
      return shift.exact ? "shrank, exact" : "shrank";
    case ShiftVerdict::noise:
      return "noise";
    case ShiftVerdict::small:
      return "below floor";
    case ShiftVerdict::undecided:
      return "too few runs";
    }
    return "";
  }

  std::string totals() const {
    std::string out = "\n" +
                      style_.dim("  " + pad_right("", 20) + pad_left("base", 26) + pad_left("new", 26) +
                                 pad_left("shift", 11) + "  verdict") +
                      "\n";
    for (const ProfileMetricFacts& metric : profile_metrics()) {
      if (!stands_in_totals(metric.metric, diff_))
        continue;
      const ShiftOfRuns& shift = many_.total(metric.metric);
      const auto side = [&](const SideSummary& values) {
        return pad_left(values.low == values.high ? amount(values.low, metric.unit, style_)
                                                  : range(values, metric.unit),
                        26);
      };
      out += "  " + pad_right(fit(metric.label, 20, style_), 20) + side(shift.base) + side(shift.next) +
             pad_left(style_.bold(signed_amount(std::round(shift.shift.estimate), metric.unit, style_)), 11) +
             "  " + verdict_word(shift) + "\n";
    }
    return out;
  }

  std::string sites() const {
    const ProfileMetric by = diff_.options().by;
    const MetricUnit unit = facts(by).unit;
    std::vector<size_t> told;
    size_t undecided = 0;
    for (size_t i = 0; i < diff_.sites().size(); ++i) {
      if (many_.site(by, i).told())
        told.push_back(i);
      undecided += many_.site(by, i).verdict == ShiftVerdict::undecided ? 1 : 0;
    }
    std::stable_sort(told.begin(), told.end(), [&](size_t a, size_t b) {
      return std::abs(many_.site(by, a).shift.estimate) > std::abs(many_.site(by, b).shift.estimate);
    });
    std::string out;
    if (!told.empty())
      out += rule("Sites whose change is certain", plural(told.size(), "site"), style_);
    const size_t shown = answer_.top == 0 ? told.size() : std::min(answer_.top, told.size());
    for (size_t i = 0; i < shown; ++i) {
      const DiffSite& site = diff_.sites()[told[i]];
      const ShiftOfRuns& shift = many_.site(by, told[i]);
      const RunDiff::Place place = diff_.place(site);
      const RunProfile& profile = diff_.profile(place.side);
      const char* word = site.status == SiteStatus::added     ? "new"
                         : site.status == SiteStatus::removed ? "gone"
                                                              : "";
      const std::string head = "  " + pad_left(std::to_string(i + 1), 2) + "  " +
                               pad_left(style_.bold(signed_amount(shift.shift.estimate, unit, style_)), 11) +
                               "  " + pad_left(word, 4) + "  ";
      out += head +
             frame_label(profile_frame(profile, place.frame), style_, style_.width - display_width(head)) +
             "\n" + stack_lines(profile_stack(profile, place.node), kCallers, 8, style_) +
             wrapped(amount(shift.base.median, unit, style_) + (style_.unicode ? " → " : " -> ") +
                         amount(shift.next.median, unit, style_) + ", " + certainty(shift, unit),
                     "        ", "        ", style_);
    }
    if (shown < told.size())
      out += style_.dim("      " + plural(told.size() - shown, "more site") + " (--top 0 lists them)") + "\n";
    if (undecided != 0)
      out += "\n" + wrapped(plural(undecided, "site") + " changed, but with too few runs to tell from noise.",
                            "", "", style_);
    return out;
  }

  std::string matching() const {
    const ProfileMetric bytes = diff_.byte_metric();
    const auto sums = diff_.matched_by_tier(kNew, bytes);
    const uint64_t all = sums[0] + sums[1] + sums[2] + sums[3];
    return "\n" + wrapped("Sites by their medians: of the new runs' bytes " + human_percent(sums[1], all) +
                              " matched exactly, " + human_percent(sums[2], all) + " by canonical names, " +
                              human_percent(sums[3], all) + " by likeness, " + human_percent(sums[0], all) +
                              " new or unmatched.",
                          "", "", style_);
  }

  const DiffAnswer& answer_;
  const RunDiff& diff_;
  const ManyRuns& many_;
  const TextStyle& style_;
};

} // namespace

std::string many_runs_text(const DiffAnswer& answer, const TextStyle& style) {
  return ManyRunsText(answer, style).run();
}

} // namespace hl
