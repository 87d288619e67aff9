// See growth_text.h.
#include "renderers/growth_text.h"

#include <algorithm>
#include <cmath>

#include "renderers/report_parts.h"

namespace hl {
namespace {

std::string size_of(double bytes, const TextStyle& style) {
  return (bytes < 0 ? "-" : "") + human_bytes(static_cast<uint64_t>(std::llround(std::abs(bytes))), style);
}

std::string rate_an_hour(const Slope& per_second, const TextStyle& style) {
  return size_of(std::abs(per_second.estimate) * 3600, style) + " an hour";
}

// "in each of 12 iterations", "in 11 of 12 slices of time"
std::string where_it_stayed(const Growth& growth, const Generations& generations) {
  size_t judged = 0, with = 0;
  for (size_t g = generations.warm_up + 1; g < generations.boundaries.size(); ++g) {
    ++judged;
    with += growth.survivor_blocks[g] != 0 ? 1 : 0;
  }
  const char* unit = generations.kind == GenerationOption::Kind::marks ? "iterations" : "slices";
  return (judged == with ? "in each of " + std::to_string(judged)
                         : "in " + std::to_string(with) + " of " + std::to_string(judged)) +
         " " + unit;
}

std::string growing_clause(const Growth& growth, const Generations& generations, const TextStyle& style) {
  const bool sure = growth.confidence == GrowthConfidence::high;
  std::string text = sure ? "grows by " : "may be growing, by ";
  if (generations.kind == GenerationOption::Kind::marks && generations.marks_per_generation == 1)
    text += size_of(growth.bytes_per_generation.estimate, style) + " an iteration, ";
  text += rate_an_hour(growth.bytes_per_second, style);
  if (growth.bytes_per_second.low != growth.bytes_per_second.high)
    text += " (" + size_of(growth.bytes_per_second.low * 3600, style) + " to " +
            size_of(growth.bytes_per_second.high * 3600, style) + ")";
  text += ", " + where_it_stayed(growth, generations);
  if (growth.oldest_blocks != 0 && growth.oldest_deaths == 0)
    text += ", and none of the oldest is ever freed";
  if (!growth.through_sites.empty())
    text += " (" + plural(growth.through_sites.size(), "stack") + " of several)";
  if (!growth.reason.empty())
    text += "; " + growth.reason;
  return text;
}

std::string since(uint64_t ns) {
  return ns == 0 ? "from the start" : "since " + human_ns(ns);
}

} // namespace

std::string growth_clause(const Growth& growth, const Generations& generations, const TextStyle& style) {
  switch (growth.verdict) {
  case GrowthVerdict::none:
    return "";
  case GrowthVerdict::too_short:
    return "too short to tell whether it grows" + (growth.reason.empty() ? "" : ": " + growth.reason);
  case GrowthVerdict::growing:
    return growing_clause(growth, generations, style);
  case GrowthVerdict::plateau:
    return "does not grow: plateau " + since(growth.since_ns);
  case GrowthVerdict::bounded:
    return "bounded cache or queue: its blocks are replaced, plateau " + since(growth.since_ns);
  case GrowthVerdict::one_time:
    return "allocated while the program started, and kept";
  case GrowthVerdict::falling:
    return "shrinks by " + rate_an_hour(growth.bytes_per_second, style);
  }
  return "";
}

std::string growth_sparkline(const Growth& growth, const TextStyle& style) {
  const uint64_t most =
      growth.live_bytes.empty() ? 0 : *std::max_element(growth.live_bytes.begin(), growth.live_bytes.end());
  return most == 0 ? "" : sparkline(growth.live_bytes.data(), growth.live_bytes.size(), most, style);
}

std::string growing_text(const std::vector<GrowingPlace>& places, const std::vector<SiteGroup>& groups,
                         const Generations& generations, size_t top, const TextStyle& style) {
  if (places.empty())
    return "";
  std::string out = rule("Growing", generations.description, style);
  for (size_t i = 0; i < places.size(); ++i) {
    if (top != 0 && i == top) {
      out += style.dim("  " + with_thousands(places.size() - i) + " more places (--top 0 lists all)") + "\n";
      break;
    }
    const Growth& growth = places[i].growth;
    const std::string rate = (growth.alarming() ? "" : "? ") + rate_an_hour(growth.bytes_per_second, style);
    const std::string head = "  " + pad_left(style.bold(rate), 20) + "  ";
    out += head +
           group_label(groups[places[i].group], style,
                       style.width - std::min(style.width / 2, display_width(head))) +
           "\n";
    constexpr size_t kIndent = 8;
    const std::string margin(kIndent, ' ');
    out += margin + growth_sparkline(growth, style) + "\n";
    out += wrapped(growth_clause(growth, generations, style), margin, margin, style);
  }
  return out;
}

std::string iterations_text(const std::vector<GrowthAnalysis::Iteration>& iterations,
                            const Generations& generations, const std::vector<SiteGroup>& groups,
                            const TextStyle& style) {
  if (iterations.empty())
    return "";
  constexpr size_t kMostRows = 16, kFirstRows = 4, kLastRows = 9;
  std::string out =
      "\n" +
      style.title(generations.kind == GenerationOption::Kind::marks ? "What stayed after each iteration"
                                                                    : "What stayed of each slice") +
      style.dim("  " + generations.description) + "\n";
  std::vector<uint64_t> live;
  for (const GrowthAnalysis::Iteration& iteration : iterations)
    live.push_back(iteration.live_bytes);
  if (const uint64_t most = *std::max_element(live.begin(), live.end()); most != 0)
    out += "  " + sparkline(live.data(), live.size(), most, style) +
           style.dim("  live at the end of each, at most " + human_bytes(most, style)) + "\n";
  constexpr size_t kNameWidth = 20;
  out += style.dim("  " + pad_right("", kNameWidth) + pad_left("live at its end", 16) +
                   pad_left("allocations", 14) + pad_left("stayed", 11) + pad_left("blocks", 12) +
                   "  most of it from") +
         "\n";
  for (size_t g = 0; g < iterations.size(); ++g) {
    if (iterations.size() > kMostRows && g == kFirstRows) {
      const size_t skipped = iterations.size() - kFirstRows - kLastRows;
      out += style.dim("  ... " + with_thousands(skipped) + " more") + "\n";
      g += skipped;
    }
    const GrowthAnalysis::Iteration& iteration = iterations[g];
    std::string from;
    if (!iteration.top.empty()) {
      const SiteGroup& group = groups[iteration.top.front().group];
      from = "  " +
             fit(printable(short_function(group.function)), style.width > 99 ? style.width - 77 : 22, style);
    }
    out += "  " + pad_right(fit(printable(iteration.name), kNameWidth, style), kNameWidth) +
           pad_left(human_bytes(iteration.live_bytes, style), 16) +
           pad_left(with_thousands(iteration.allocation_calls), 14) +
           pad_left(human_bytes(iteration.survivor_bytes, style), 11) +
           pad_left(with_thousands(iteration.survivor_blocks), 12) + from + "\n";
  }
  if (generations.boundaries.size() > 1)
    out += style.dim("  Stayed: born in it and still there at the last " +
                     std::string(generations.kind == GenerationOption::Kind::marks ? "mark" : "boundary") +
                     " (the last line: at the end).") +
           "\n";
  return out;
}

} // namespace hl
