// `diff` for people: what happened in words, the totals, the places with the greatest change, what could not
// be paired. See diff_output.h.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "renderers/diff_output.h"
#include "renderers/report_parts.h"
#include "renderers/stack_text.h"

namespace hl {

ResolvedFrame profile_frame(const RunProfile& profile, uint32_t index) {
  const ProfileFrame& frame = profile.frames[index];
  ResolvedFrame resolved;
  resolved.function = index == 0 ? std::string_view("[stack not known]") : profile.function(frame);
  resolved.file = profile.file(frame);
  resolved.line = frame.line;
  resolved.module = profile.module(frame).path;
  resolved.inlined = (frame.flags & kFrameInlined) != 0;
  resolved.guessed = (frame.flags & kFrameGuessed) != 0;
  resolved.marker = index == 0 || (frame.flags & kFrameMarker) != 0;
  resolved.frame_class = (frame.flags & kFrameAllocator) != 0                    ? FrameClass::kAllocator
                         : (frame.flags & kFrameRuntime) != 0 || resolved.marker ? FrameClass::kRuntime
                         : (frame.flags & kFrameLibrary) != 0                    ? FrameClass::kLibrary
                                                                                 : FrameClass::kOwn;
  return resolved;
}

std::vector<ResolvedFrame> profile_stack(const RunProfile& profile, uint32_t node) {
  std::vector<ResolvedFrame> frames;
  for (const uint32_t frame : profile.stack(node))
    frames.push_back(profile_frame(profile, frame));
  return frames;
}

bool stands_in_totals(ProfileMetric metric, const RunDiff& diff) {
  using enum ProfileMetric;
  const bool minor =
      metric == peak_blocks || metric == exit_blocks || metric == definite_blocks || metric == free_calls;
  return diff.has(metric) && (!minor || metric == diff.options().by);
}

std::string amount(double value, MetricUnit unit, const TextStyle& style) {
  if (unit == MetricUnit::bytes)
    return human_bytes(static_cast<uint64_t>(std::llround(std::max(0.0, value))), style);
  if (unit == MetricUnit::nanoseconds)
    return human_ns(static_cast<uint64_t>(std::llround(std::max(0.0, value))));
  if (value == std::floor(value) && value < 9e15)
    return with_thousands(static_cast<uint64_t>(value));
  char text[48];
  std::snprintf(text, sizeof text, value < 10 ? "%.3f" : value < 1000 ? "%.1f" : "%.0f", value);
  return text;
}

std::string signed_amount(double change, MetricUnit unit, const TextStyle& style) {
  if (change == 0)
    return "0";
  return (change > 0 ? "+" : "-") + amount(std::abs(change), unit, style);
}

std::string signed_percent(double base, double next) {
  if (base == next)
    return "";
  if (base == 0)
    return "new";
  const double percent = 100 * (next - base) / base;
  char text[48];
  if (std::abs(percent) < 0.05)
    return percent > 0 ? "<+0.1 %" : "<-0.1 %";
  if (percent >= 1000)
    std::snprintf(text, sizeof text, "x %.0f", next / base);
  else
    std::snprintf(text, sizeof text, std::abs(percent) < 99.95 ? "%+.1f %%" : "%+.0f %%", percent);
  return text;
}

namespace {

constexpr size_t kCallers = 4;

class DiffText {
 public:
  DiffText(const DiffAnswer& answer, const TextStyle& style)
      : diff_(answer.diff), answer_(answer), style_(style), places_(diff_places(answer.diff)) {}

  std::string run() {
    return headlines() + verdict() + warnings() + totals() + place_list() + doubtful() + matched();
  }

 private:
  using Unit = MetricUnit;
  double base_total(ProfileMetric metric) const { return diff_.value(kBase, metric, diff_.totals(kBase)); }
  double new_total(ProfileMetric metric) const { return diff_.value(kNew, metric, diff_.totals(kNew)); }

  std::string headlines() const {
    std::string out;
    for (const Side side : {kBase, kNew}) {
      const RunProfile& profile = diff_.profile(side);
      std::string who = side == kBase ? answer_.base_name : answer_.new_name;
      std::string facts = human_ns(profile.duration_ns);
      if (diff_.units(side) != 1 || !diff_.options().per.empty())
        facts += ", " + plural(diff_.units(side), diff_.options().per);
      const size_t room = style_.width > 8 + facts.size() + 2 ? style_.width - 8 - facts.size() - 2 : 20;
      const std::string name = fit(printable(who), room * 2 / 5, style_);
      const size_t left = room - std::min(room, display_width(name) + 2);
      const std::string command = fit(printable(profile.command), std::max<size_t>(left, 8), style_);
      out += style_.bold(side == kBase ? "base    " : "new     ") +
             pad_right(name + "  " + style_.dim(command), room) + "  " + style_.dim(facts) + "\n";
    }
    return out;
  }

  // Where a measure is told of: "at the peak", "requested", "definitely lost".
  std::string circumstance(ProfileMetric metric) const {
    switch (metric) {
    case ProfileMetric::peak_bytes:
      return "at the peak";
    case ProfileMetric::exit_bytes:
      return whole_runs() ? "not freed at exit" : "live at that moment";
    case ProfileMetric::bytes_requested:
      return "requested in all";
    case ProfileMetric::definite_bytes:
      return "definitely lost";
    case ProfileMetric::stranded_bytes:
      return "stranded";
    case ProfileMetric::temporary_allocations:
      return "temporary allocations";
    case ProfileMetric::exit_blocks:
      return whole_runs() ? "blocks not freed at exit" : "blocks live at that moment";
    default:
      return std::string(facts(metric).label);
    }
  }
  bool whole_runs() const {
    return diff_.profile(kBase).moment == "exit" && diff_.profile(kNew).moment == "exit";
  }
  std::string label(ProfileMetric metric) const {
    if (!whole_runs() && metric == ProfileMetric::exit_bytes)
      return "live at the moment";
    if (!whole_runs() && metric == ProfileMetric::exit_blocks)
      return "live blocks";
    if (!whole_runs() && metric == ProfileMetric::peak_bytes)
      return "peak until then";
    return std::string(facts(metric).label);
  }

  std::string place_name(const DiffPlace& place) const {
    const RunProfile& profile = diff_.profile(place.named.side);
    const ResolvedFrame frame = profile_frame(profile, place.named.frame);
    std::string text = fit(printable(short_function(frame.function)), 48, style_);
    if (!frame.file.empty())
      text += " (" + printable(short_path(frame.file)) +
              (frame.line != 0 ? ":" + std::to_string(frame.line) : "") + ")";
    return text;
  }

  static const char* noun(PlaceKind kind) {
    switch (kind) {
    case PlaceKind::added:
      return "new place";
    case PlaceKind::removed:
      return "place that is gone";
    case PlaceKind::changed:
      return "place that both have";
    case PlaceKind::reshaped:
      return "place in another shape";
    case PlaceKind::elsewhere:
      return "function that is called elsewhere";
    }
    return "";
  }

  // "93.0 % of it from a new place: Cache::load (src/cache.cpp:88)", or from the few that make most of it.
  std::string cause(ProfileMetric metric, double change) const {
    std::vector<const DiffPlace*> contributors;
    for (const DiffPlace& place : places_)
      if (place_delta(diff_, metric, place) * change > 0)
        contributors.push_back(&place);
    if (contributors.empty())
      return "";
    std::stable_sort(contributors.begin(), contributors.end(), [&](const DiffPlace* a, const DiffPlace* b) {
      return std::abs(place_delta(diff_, metric, *a)) > std::abs(place_delta(diff_, metric, *b));
    });
    // What pulls the other way is balanced first: shares are of all changes in this direction.
    double all = 0;
    for (const DiffPlace* place : contributors)
      all += std::abs(place_delta(diff_, metric, *place));
    const double whole = std::max(all, std::abs(change));
    double sum = 0;
    size_t used = 0;
    while (used < contributors.size() && used < 3 && sum < 0.8 * whole)
      sum += std::abs(place_delta(diff_, metric, *contributors[used++]));
    const bool balanced = all > std::abs(change) * 1.05;
    const bool everything = used == contributors.size() && sum >= 0.9995 * whole;
    std::string share = everything && !balanced ? "all of it"
                                                : human_percent(static_cast<uint64_t>(std::llround(sum)),
                                                                static_cast<uint64_t>(std::llround(whole)));
    if (!(everything && !balanced))
      share += balanced ? std::string(" of the ") + (change > 0 ? "growth" : "decline") : " of it";
    if (balanced && everything)
      share = std::string("all ") + (change > 0 ? "growth" : "decline");
    if (used == 1)
      return ", " + share + " from one " + noun(contributors[0]->kind) + ": " + place_name(*contributors[0]);
    std::string names;
    for (size_t i = 0; i < used; ++i)
      names += (i == 0 ? "" : ", ") + place_name(*contributors[i]);
    return ", " + share + " from " + std::to_string(used) + " of " + with_thousands(contributors.size()) +
           " places: " + names;
  }

  std::string sentence(ProfileMetric metric) const {
    const double base = base_total(metric), next = new_total(metric);
    const Unit unit = facts(metric).unit;
    const std::string per =
        facts(metric).flow && !diff_.options().per.empty() ? " per " + diff_.options().per : "";
    if (base == next)
      return "No change: " + amount(base, unit, style_) + " " + circumstance(metric) + per + ".";
    const std::string percent = signed_percent(base, next);
    return signed_amount(next - base, unit, style_) + " " + circumstance(metric) + per + " (" +
           amount(base, unit, style_) + arrow() + amount(next, unit, style_) +
           (percent.empty() || percent == "new" ? "" : ", " + percent) + ")" + cause(metric, next - base) +
           ".";
  }
  std::string arrow() const { return style_.unicode ? " → " : " -> "; }

  std::string verdict() const {
    const ProfileMetric by = diff_.options().by;
    std::string out = "\n" + wrapped(sentence(by), "", "", style_);
    // What else a reviewer must not miss.
    using enum ProfileMetric;
    if (by != definite_bytes && diff_.has(definite_bytes) && diff_.total_delta(definite_bytes) != 0)
      out += wrapped(sentence(definite_bytes), "", "", style_);
    if (by != exit_bytes && by != definite_bytes && !diff_.has(definite_bytes) && whole_runs() &&
        std::abs(diff_.total_delta(exit_bytes)) > 0.01 * base_total(exit_bytes) + 4096)
      out += wrapped(sentence(exit_bytes), "", "", style_);
    if (by != allocation_calls &&
        std::abs(diff_.total_delta(allocation_calls)) > 0.01 * base_total(allocation_calls))
      out += wrapped(sentence(allocation_calls), "", "", style_);
    if (places_.empty())
      out += wrapped("No site changed in any measure.", "", "", style_);
    return out;
  }

  std::string warnings() const {
    std::string out;
    for (const Side side : {kBase, kNew}) {
      const RunProfile& profile = diff_.profile(side);
      const std::string name = side == kBase ? "The base trace" : "The new trace";
      if (!profile.complete)
        out += style_.warning(name + " is incomplete ('heapledger info' tells more).") + "\n";
      if (profile.lost_events != 0)
        out += style_.warning(name + " lost " + plural(profile.lost_events, "event") + ".") + "\n";
    }
    return out;
  }

  std::string totals() const {
    std::string out = "\n" +
                      style_.dim("  " + pad_right("", 22) + pad_left("base", 16) + pad_left("new", 16) +
                                 pad_left("change", 16)) +
                      "\n";
    for (const ProfileMetricFacts& metric : profile_metrics()) {
      if (!stands_in_totals(metric.metric, diff_))
        continue;
      const double base = base_total(metric.metric), next = new_total(metric.metric);
      const std::string percent = signed_percent(base, next);
      out += "  " + pad_right(label(metric.metric), 22) + pad_left(amount(base, metric.unit, style_), 16) +
             pad_left(amount(next, metric.unit, style_), 16) +
             pad_left(style_.bold(signed_amount(next - base, metric.unit, style_)), 16) +
             (percent.empty() || percent == "new" ? "" : pad_left(percent, 10)) +
             (metric.flow && !diff_.options().per.empty() ? style_.dim("  per " + diff_.options().per) : "") +
             "\n";
    }
    using enum ProfileMetric;
    if (const MetricValues& set_up = diff_.set_up(kNew); set_up[allocation_calls] != 0)
      out += wrapped(
          plural(set_up[allocation_calls], "call") + " with " + human_bytes(set_up[bytes_requested], style_) +
              " are the same in both runs, however many units there were: what is set up once is no "
              "part of a unit.",
          "  ", "  ", style_);
    return out;
  }

  std::string describe(const DiffPlace& place) const {
    const ProfileMetric by = diff_.options().by;
    const double base = diff_.value(kBase, by, place.base), next = diff_.value(kNew, by, place.next);
    switch (place.kind) {
    case PlaceKind::added:
      return "new";
    case PlaceKind::removed:
      return "gone";
    case PlaceKind::reshaped:
      return "reshaped";
    case PlaceKind::elsewhere:
      return "elsewhere";
    case PlaceKind::changed:
      break;
    }
    const std::string percent = signed_percent(base, next);
    if (percent == "new")
      return "grew";
    return base == next ? "same" : percent;
  }

  // By which tiers the stacks of a place were matched, the least certain in full.
  std::string match_note(const DiffPlace& place) const {
    if (place.kind != PlaceKind::changed)
      return "";
    size_t of_tier[4] = {};
    for (const uint32_t site : place.sites)
      ++of_tier[static_cast<size_t>(diff_.sites()[site].match)];
    char score[40] = "";
    if (place.weakest == MatchTier::fuzzy)
      std::snprintf(score, sizeof score, "likeness of %.0f %%", 100 * place.score);
    if (place.sites.size() == 1)
      return std::string(to_string(place.weakest)) + " match" + (*score != '\0' ? ", " : "") + score;
    if (place.weakest == MatchTier::exact)
      return "exact matches";
    std::string note = with_thousands(of_tier[static_cast<size_t>(MatchTier::exact)]) + " exact matches";
    if (const size_t count = of_tier[static_cast<size_t>(MatchTier::canonical)]; count != 0)
      note += ", " + with_thousands(count) + " canonical";
    if (const size_t count = of_tier[static_cast<size_t>(MatchTier::fuzzy)]; count != 0)
      note += ", " + with_thousands(count) + " fuzzy (" + score + " or more)";
    return note;
  }

  std::string entry(size_t number, const DiffPlace& place) const {
    const ProfileMetric by = diff_.options().by;
    const Unit unit = facts(by).unit;
    const double base = diff_.value(kBase, by, place.base), next = diff_.value(kNew, by, place.next);
    const std::string head = "  " + pad_left(std::to_string(number), 2) + "  " +
                             pad_left(style_.bold(signed_amount(next - base, unit, style_)), 11) + "  " +
                             pad_left(amount(base, unit, style_) + arrow() + amount(next, unit, style_), 23) +
                             "  " + pad_left(describe(place), 9) + "  ";
    const RunProfile& profile = diff_.profile(place.named.side);
    std::string out = head +
                      frame_label(profile_frame(profile, place.named.frame), style_,
                                  style_.width - std::min(style_.width / 2, display_width(head))) +
                      "\n";
    const DiffSite& site = diff_.sites()[place.sites.front()];
    const RunDiff::Place example = place.kind == PlaceKind::reshaped || place.kind == PlaceKind::elsewhere
                                       ? place.named
                                       : diff_.place(site);
    out += stack_lines(profile_stack(diff_.profile(example.side), example.node), kCallers, 8, style_);
    std::string notes = match_note(place);
    const auto note = [&notes](const std::string& text) { notes += (notes.empty() ? "" : ", ") + text; };
    if (place.sites.size() > 1)
      note(with_thousands(place.sites.size()) + " stacks, the one that changed most is shown");
    using enum ProfileMetric;
    if (diff_.has_for_sites(definite_bytes) && by != definite_bytes &&
        place_delta(diff_, definite_bytes, place) != 0)
      note(signed_amount(place_delta(diff_, definite_bytes, place), Unit::bytes, style_) +
           " definitely lost");
    if (by != allocation_calls && place_delta(diff_, allocation_calls, place) != 0)
      note(signed_amount(place_delta(diff_, allocation_calls, place), Unit::count, style_) + " calls");
    if (!notes.empty())
      out += wrapped(notes, "        ", "        ", style_);
    return out;
  }

  std::string place_list() const {
    const ProfileMetric by = diff_.options().by;
    double up = 0, down = 0;
    size_t ups = 0, downs = 0;
    std::vector<const DiffPlace*> listed;
    for (const DiffPlace& place : places_) {
      const double change = place_delta(diff_, by, place);
      up += std::max(0.0, change);
      down += std::max(0.0, -change);
      ups += change > 0 ? 1 : 0;
      downs += change < 0 ? 1 : 0;
      // One that is new or gone is listed even if this measure does not show it; others must have changed.
      if (change != 0 || place.kind == PlaceKind::added || place.kind == PlaceKind::removed)
        listed.push_back(&place);
    }
    if (listed.empty())
      return "";
    const Unit unit = facts(by).unit;
    std::string sums;
    if (ups != 0)
      sums = "+" + amount(up, unit, style_) + " in " + plural(ups, "place");
    if (downs != 0)
      sums += (sums.empty() ? "-" : ", -") + amount(down, unit, style_) + " in " + plural(downs, "place");
    std::string out = rule("What changed", circumstance(by) + (sums.empty() ? "" : ": ") + sums, style_);
    const size_t shown = answer_.top == 0 ? listed.size() : std::min(answer_.top, listed.size());
    for (size_t i = 0; i < shown; ++i)
      out += entry(i + 1, *listed[i]);
    double rest = 0;
    for (size_t i = shown; i < listed.size(); ++i)
      rest += place_delta(diff_, by, *listed[i]);
    if (shown < listed.size())
      out += style_.dim("      " + plural(listed.size() - shown, "more place") + ", " +
                        signed_amount(rest, unit, style_) + " together (--top 0 lists them)") +
             "\n";
    return out;
  }

  // Sums of the groups of a kind, and what they mean; empty where there are none.
  std::string doubtful(UnmatchedKind kind, const std::string& meaning) const {
    const ProfileMetric bytes = diff_.byte_metric();
    MetricValues base, next;
    size_t base_sites = 0, new_sites = 0;
    for (const UnmatchedGroup& group : diff_.unmatched()) {
      if (group.kind != kind)
        continue;
      base.add(group.base);
      next.add(group.next);
      for (const uint32_t site : group.sites)
        ++(diff_.sites()[site].base_sites.empty() ? new_sites : base_sites);
    }
    if (base[bytes] == 0 && next[bytes] == 0)
      return "";
    return wrapped(plural(base_sites, "site") + " of the base run with " + share(kBase, base[bytes]) +
                       " and " + plural(new_sites, "site") + " of the new run with " +
                       share(kNew, next[bytes]) + " " + circumstance(bytes) + meaning,
                   "  - ", "    ", style_);
  }
  // Bytes of a side, and how much of its total that is.
  std::string share(Side side, uint64_t bytes) const {
    const ProfileMetric metric = diff_.byte_metric();
    return amount(diff_.value(side, metric, bytes), Unit::bytes, style_) + " (" +
           human_percent(bytes, diff_.totals(side)[metric]) + ")";
  }

  std::string doubtful() const {
    const std::string text =
        doubtful(
            UnmatchedKind::elsewhere,
            ", in functions that both runs call but by other callers: a pool that fills up below whoever "
            "comes, or another course of the program. Their sums are compared at the function, listed "
            "above as 'elsewhere'.") +
        doubtful(UnmatchedKind::reshaped,
                 ". They may be the same code in another shape: their sums are compared at the caller they "
                 "share, listed above as 'reshaped'.");
    return text.empty() ? "" : rule("Could not be paired one by one", "", style_) + text;
  }

  std::string matched() const {
    const ProfileMetric bytes = diff_.byte_metric();
    std::string out = rule("How sites were matched", "", style_);
    for (const Side side : {kBase, kNew}) {
      const auto sums = diff_.matched_by_tier(side, bytes);
      const uint64_t all = sums[0] + sums[1] + sums[2] + sums[3];
      std::string line = side == kBase ? "Of the base run's " : "Of the new run's ";
      line += amount(diff_.value(side, bytes, all), Unit::bytes, style_) + " " + circumstance(bytes) + ": " +
              human_percent(sums[1], all) + " exactly, " + human_percent(sums[2], all) +
              " by canonical names, " + human_percent(sums[3], all) + " by likeness, " +
              human_percent(sums[0], all) + (side == kBase ? " gone or unmatched" : " new or unmatched");
      if (const uint64_t other = diff_.other_work(side, bytes); other != 0)
        line += std::string(", of which ") + share(side, other) + " in functions that the " +
                (side == kBase ? "new" : "base") + " run never called";
      line += ".";
      out += wrapped(line, "  - ", "    ", style_);
    }
    if (diff_.given_up())
      out += wrapped("There were too many unlike sites to compare all of them; the heaviest were.", "  - ",
                     "    ", style_);
    constexpr size_t kShown = 8;
    const auto& renames = diff_.renames();
    if (!renames.empty()) {
      out += wrapped("Perhaps renamed; to match these by name, put the lines into a file and use --renames:",
                     "  - ", "    ", style_);
      for (size_t i = 0; i < std::min(renames.size(), kShown); ++i)
        out += "      " + printable(renames[i].base) + " = " + printable(renames[i].next) + "\n";
      if (renames.size() > kShown)
        out +=
            style_.dim("      and " + with_thousands(renames.size() - kShown) + " more (--json lists them)") +
            "\n";
    }
    const auto& moved = diff_.names().moved_files();
    for (size_t i = 0; i < std::min(moved.size(), kShown); ++i)
      out += wrapped("Moved: " + printable(short_path(moved[i].base)) + arrow() +
                         printable(short_path(moved[i].next)),
                     "  - ", "    ", style_);
    if (moved.size() > kShown)
      out += style_.dim("    and " + with_thousands(moved.size() - kShown) + " more moved files") + "\n";
    for (const Side side : {kBase, kNew}) {
      const auto& troubles = diff_.profile(side).troubles;
      for (size_t i = 0; i < std::min<size_t>(troubles.size(), 3); ++i)
        out += wrapped((side == kBase ? "Base: " : "New: ") + printable(troubles[i]), "  - ", "    ", style_);
      if (troubles.size() > 3)
        out += style_.dim("    and " + with_thousands(troubles.size() - 3) +
                          " more modules without full symbols") +
               "\n";
    }
    return out;
  }

  const RunDiff& diff_;
  const DiffAnswer& answer_;
  const TextStyle& style_;
  const std::vector<DiffPlace> places_;
};

} // namespace

std::string diff_text(const DiffAnswer& answer, const TextStyle& style) {
  return DiffText(answer, style).run();
}

} // namespace hl
