// `leaks` for people: what is lost, from where, what to mend first. See leaks_output.h.
#include <algorithm>
#include <cstdio>

#include "renderers/growth_text.h"
#include "renderers/hex_text.h"
#include "renderers/leaks_output.h"
#include "renderers/report_parts.h"
#include "renderers/stack_text.h"

namespace hl {
namespace {

constexpr size_t kCallers = 5;

std::string sum_text(const BlockSum& sum, const TextStyle& style) {
  return human_bytes(sum.bytes, style) + " in " + plural(sum.blocks, "block");
}

BlockSum lost_of(const LeakReport& report) {
  BlockSum lost = report.of(LeakClass::definite);
  lost.add(report.of(LeakClass::indirect));
  return lost;
}

// ", 93 % of it from Session::open (session.cc:88)"
std::string mostly_from(const std::vector<LeakGroup>& groups, LeakClass leak_class, uint64_t whole,
                        const TextStyle& style) {
  for (const LeakGroup& group : groups)
    if (group.leak_class == leak_class && whole != 0)
      return ", " + human_percent(group.bytes(), whole) + " of it from " + place_text(*group.place, style);
  return "";
}

std::string when_text(const LeakScan& scan) {
  switch (static_cast<ScanCause>(scan.facts.cause)) {
  case ScanCause::exit:
    return "at exit";
  case ScanCause::abort:
    return "when it aborted";
  case ScanCause::signal:
    return "when a signal ended it";
  case ScanCause::program:
  case ScanCause::outside:
    return scan.name.empty() ? "on demand" : "at the snapshot '" + printable(scan.name) + "'";
  case ScanCause::unknown:
    break;
  }
  return "";
}

std::vector<std::string> verdict(const LeaksAnswer& answer, const std::vector<LeakGroup>& groups,
                                 const TextStyle& style) {
  const LeakReport& report = answer.report;
  if (!report.scanned) {
    const BlockSum& left = report.of(LeakClass::unknown);
    const bool over = answer.heap.moment.kind == Moment::Kind::exit && !answer.heap.trace.running();
    return {(over ? "Not freed: " : "Live: ") + sum_text(left, style) +
                mostly_from(groups, LeakClass::unknown, left.bytes, style) + ".",
            "Which of it is lost is not known: " + report.reason + "."};
  }
  std::vector<std::string> lines;
  const BlockSum lost = lost_of(report);
  const BlockSum& possible = report.of(LeakClass::possible);
  if (lost.blocks == 0)
    lines.push_back(
        "Nothing is lost: everything still allocated can be reached" +
        std::string(possible.blocks != 0 ? ", some of it by pointers into its middle alone." : "."));
  else
    lines.push_back("Lost: " + sum_text(lost, style) + " that nothing points to any more" +
                    mostly_from(groups, LeakClass::definite, lost.bytes, style) + ".");
  std::string rest;
  if (possible.blocks != 0)
    rest += "Possibly lost: " + sum_text(possible, style) + ". ";
  rest += "Still reachable: " + sum_text(report.of(LeakClass::reachable), style) + ".";
  lines.push_back(rest);
  if (!answer.study.growing.empty())
    lines.push_back("Growing: " + plural(answer.study.growing.size(), "place") + ", first " +
                    place_text(answer.study.places[answer.study.growing.front().group], style) + ".");
  return lines;
}

std::string scan_line(const LeaksAnswer& answer) {
  const LeakScanPayload& facts = answer.scan->facts;
  std::string text = "Scanned " + when_text(*answer.scan);
  if (static_cast<ScanWay>(facts.way) == ScanWay::copy)
    text +=
        ", on a forked copy because tracing is not permitted here (other threads' registers are not known)";
  else
    text += "; the program stood still for " + human_ns(facts.pause_ns);
  if (facts.threads_inside != 0)
    text += "; " + plural(facts.threads_inside, "thread") + " stopped inside an allocation call";
  if (facts.unreadable_bytes != 0)
    text += "; " + with_thousands(facts.unreadable_bytes) + " bytes could not be read";
  if (answer.scans.size() > 1)
    text += "; " + plural(answer.scans.size(), "scan") + " in this trace";
  return text + ".";
}

std::string ago(const LeaksAnswer& answer, uint64_t ticks) {
  const TraceClock& clock = answer.heap.trace.clock();
  const uint64_t end = clock.ns(answer.heap.heap.result().last_ticks), then = clock.ns(ticks);
  return human_ns(end > then ? end - then : 0);
}

std::string threads_text(const LeaksAnswer& answer, const LeakSite& site) {
  const auto& threads = answer.heap.heap.result().threads;
  std::string text;
  constexpr size_t kShown = 3;
  for (size_t i = 0; i < std::min(site.threads.size(), kShown); ++i) {
    const uint32_t index = site.threads[i];
    std::string name = index < threads.size() ? printable(threads[index].name) : "";
    if (name.empty())
      name = "#" + std::to_string(index);
    text += (text.empty() ? "" : ", ") + name;
  }
  if (site.threads.size() > kShown || site.more_threads)
    text += " and others";
  return (site.threads.size() == 1 && !site.more_threads ? "thread " : "threads ") + text;
}

// Who keeps it: "kept by the global `cache` through Node (table.cc:12) x 40".
std::string held_text(const LeaksAnswer& answer, const LeakSite& site, const TextStyle& style) {
  if (site.held.root.empty())
    return "";
  std::string text = (site.leak_class == LeakClass::possible ? "pointed into from " : "kept by ") +
                     printable(site.held.root);
  if (site.held_so.blocks != 0 && site.held_so.blocks < site.sum.blocks)
    text += " (" + human_percent(site.held_so.blocks, site.sum.blocks) + " of the blocks)";
  constexpr size_t kShown = 3;
  for (size_t i = 0; i < std::min(site.held.steps.size(), kShown); ++i) {
    const HoldingPath::Step& step = site.held.steps[i];
    const ResolvedFrame frame =
        answer.heap.resolver.leading_frame(answer.heap.heap.result().site_stacks[step.site]);
    text += (i == 0 ? " through " : " -> ") + fit(printable(short_function(frame.function)), 32, style);
    if (frame.line != 0)
      text += ":" + std::to_string(frame.line);
    if (step.blocks > 1)
      text += " x " + with_thousands(step.blocks);
  }
  if (site.held.steps.size() > kShown)
    text += " -> ...";
  return text;
}

std::string what_it_means(const LeakGroup& group, const TextStyle& style) {
  switch (group.leak_class) {
  case LeakClass::definite:
    return group.with.blocks == 0
               ? "lost: nothing points to " + std::string(group.sum.blocks == 1 ? "it" : "them")
               : "lost, and with it " + sum_text(group.with, style) + " that only it leads to";
  case LeakClass::indirect:
    return "lost with the blocks that lead to it";
  case LeakClass::possible:
    return "only pointers into the middle";
  case LeakClass::reachable:
  case LeakClass::unknown:
    break;
  }
  return "";
}

std::string example_lines(const LeaksAnswer& answer, const LeakSite& site, const std::string& margin) {
  char address[24];
  std::snprintf(address, sizeof address, "0x%llx", static_cast<unsigned long long>(site.example_address));
  const std::string bytes =
      with_thousands(site.example_bytes) + (site.example_bytes == 1 ? " byte" : " bytes");
  return margin + "for example " + address + ", " + bytes + "\n" +
         (answer.scan == nullptr ? ""
                                 : hex_lines(answer.scan->contents_of(site.example_address), margin + "  "));
}

std::string entry(const LeaksAnswer& answer, size_t number, const LeakGroup& group, uint64_t whole,
                  const TextStyle& style) {
  const std::string head =
      list_head(number, human_bytes(group.bytes(), style), human_percent(group.bytes(), whole),
                plural(group.sum.blocks, "block"), style);
  constexpr size_t kIndent = 8;
  const std::string margin(kIndent, ' ');
  std::string out =
      head + group_label(*group.place, style, style.width - std::min(style.width / 2, display_width(head))) +
      "\n";
  const LeakSite& site = *group.sites.front();
  std::string about = what_it_means(group, style);
  const Growth* const growth = answer.study.growth_of(group);
  const std::string held = held_text(answer, site, style);
  const auto add = [&about](const std::string& part) {
    if (!part.empty())
      about += (about.empty() ? "" : "; ") + part;
  };
  add(held);
  // That the run was too short is said once, not of every place.
  if (growth != nullptr && answer.growth != nullptr && growth->verdict != GrowthVerdict::too_short)
    add(growth_clause(*growth, answer.growth->generations(), style));
  if (group.sum.blocks == 1)
    add("allocated " + ago(answer, group.oldest_ticks) + " before");
  else
    add("oldest " + ago(answer, group.oldest_ticks) + ", youngest " + ago(answer, group.youngest_ticks) +
        " before");
  add(threads_text(answer, site));
  out += wrapped(about, margin, margin, style);
  if (growth != nullptr && growth->verdict == GrowthVerdict::growing)
    out += margin + growth_sparkline(*growth, style) + "\n";
  if (const auto missing = answer.study.missing.find(group.place); missing != answer.study.missing.end())
    if (const std::string text =
            missing_free_sentence(missing->second, answer.heap.heap.result().threads, style);
        !text.empty())
      out += wrapped(text + ".", margin, margin, style);
  if (answer.with_contents)
    out += example_lines(answer, site, margin);
  out += stack_lines(answer.heap.resolver.frames(answer.heap.heap.result().site_stacks[site.site]), kCallers,
                     kIndent, style);
  if (group.sites.size() > 1)
    out += margin + style.dim("  (the heaviest of " + with_thousands(group.sites.size()) + " stacks)") + "\n";
  return out;
}

std::string section(const LeaksAnswer& answer, const std::vector<LeakGroup>& groups, LeakClass leak_class,
                    const std::string& title, const BlockSum& whole, const TextStyle& style) {
  if (whole.blocks == 0)
    return "";
  std::string out = rule(title, sum_text(whole, style), style);
  size_t number = 0, more = 0;
  uint64_t more_bytes = 0;
  for (const LeakGroup& group : groups) {
    if (group.leak_class != leak_class)
      continue;
    if (answer.heap.top == 0 || number < answer.heap.top) {
      out += entry(answer, ++number, group, whole.bytes, style);
    } else {
      ++more;
      more_bytes += group.bytes();
    }
  }
  if (more != 0)
    out += "  " +
           style.dim("    " + more_places(more, human_bytes(more_bytes, style)) + " (--top 0 lists all)") +
           "\n";
  return out;
}

bool is_lost(const LeakStudy& study, const SiteGroup& place) {
  return std::any_of(study.groups.begin(), study.groups.end(), [&place](const LeakGroup& group) {
    return group.place == &place &&
           (group.leak_class == LeakClass::definite || group.leak_class == LeakClass::possible);
  });
}

// What grows without end, though something may keep it: a leak that no scan can see. Lost places are listed
// already.
std::string growing_section(const LeaksAnswer& answer, const TextStyle& style) {
  std::string out;
  std::vector<GrowingPlace> gone; // freed by the end
  BlockSum whole = answer.report.of(LeakClass::reachable);
  whole.add(answer.report.of(LeakClass::unknown));
  size_t number = 0;
  for (const GrowingPlace& grows : answer.study.growing) {
    const SiteGroup& place = answer.study.places[grows.group];
    if (is_lost(answer.study, place))
      continue;
    if (const LeakGroup* const group = answer.study.kept_group(place); group == nullptr)
      gone.push_back(grows);
    else if (answer.heap.top == 0 || number < answer.heap.top)
      out += entry(answer, ++number, *group, whole.bytes, style);
  }
  if (!out.empty())
    out = rule("Growing: kept by something, and ever more of it", "", style) + out;
  if (!gone.empty())
    out += growing_text(gone, answer.study.places, answer.growth->generations(), answer.heap.top, style);
  return out;
}

std::string suppressed_section(const LeaksAnswer& answer, const TextStyle& style) {
  if (answer.report.suppressed.blocks == 0)
    return "";
  std::string out = rule("Suppressed", sum_text(answer.report.suppressed, style), style);
  constexpr size_t kShown = 10;
  for (size_t i = 0; i < std::min(answer.suppressed.size(), kShown); ++i) {
    const SuppressionHits& hits = answer.suppressed[i];
    out += "  " + pad_left(human_bytes(hits.sum.bytes, style), 12) + "  " +
           pad_right(plural(hits.sum.blocks, "block"), 16) + "  " +
           fit(printable(hits.name), style.width > 90 ? style.width - 52 : 38, style) + "  " +
           style.dim(fit(printable(hits.source), 16, style)) + "\n";
  }
  if (answer.suppressed.size() > kShown)
    out += style.dim("  " + with_thousands(answer.suppressed.size() - kShown) + " more rules") + "\n";
  return out;
}

} // namespace

std::string leaks_text(const LeaksAnswer& answer, const TextStyle& style) {
  const LeakReport& report = answer.report;
  const std::vector<LeakGroup>& groups = answer.study.groups;
  std::string out = headline(answer.heap, style);
  for (const std::string& sentence : verdict(answer, groups, style))
    out += wrapped(sentence, "", "", style);
  out += warning_line(answer.heap, style);
  if (!answer.heap.run_note.empty())
    out += wrapped(answer.heap.run_note, "", "", style);
  if (report.scanned)
    out += style.dim(wrapped(scan_line(answer), "", "", style));
  out +=
      section(answer, groups, LeakClass::definite, "Lost: nothing points to these", lost_of(report), style);
  out += growing_section(answer, style);
  out += section(answer, groups, LeakClass::possible, "Possibly lost: only pointers into their middle",
                 report.of(LeakClass::possible), style);
  out += section(answer, groups, LeakClass::unknown, report.scanned ? "Not seen by the scan" : "Not freed",
                 report.of(LeakClass::unknown), style);
  if (answer.with_reachable)
    out += section(answer, groups, LeakClass::reachable, "Still reachable", report.of(LeakClass::reachable),
                   style);
  else if (report.of(LeakClass::reachable).blocks != 0)
    out += "\n" +
           style.dim("Still reachable: " + sum_text(report.of(LeakClass::reachable), style) +
                     " (--reachable lists it, and who keeps it)") +
           "\n";
  if (answer.growth != nullptr && answer.growth->generations().kind == GenerationOption::Kind::marks)
    out += iterations_text(answer.study.iterations, answer.growth->generations(), answer.study.places, style);
  if (answer.growth != nullptr && !answer.growth->generations().too_short.empty())
    out +=
        "\n" + style.dim(wrapped("What grows cannot be told: " + answer.growth->generations().too_short + ".",
                                 "", "", style));
  out += suppressed_section(answer, style);
  if (report.unknown_to_replay != 0)
    out += wrapped(plural(report.unknown_to_replay, "block") +
                       " of the scan cannot be found in the recorded events, and are left out.",
                   "", "", style);
  out += unknown_part(answer.heap, style);
  return out;
}

std::string leaks_line(const LeaksAnswer& answer, const TextStyle& style) {
  const LeakReport& report = answer.report;
  if (!report.scanned)
    return "";
  const std::vector<LeakGroup>& groups = answer.study.groups;
  const BlockSum lost = lost_of(report);
  const std::string text = lost.blocks == 0 ? "no leaks found" : "lost " + sum_text(lost, style);
  std::string possible, possible_bytes;
  if (const BlockSum& sum = report.of(LeakClass::possible); sum.blocks != 0) {
    possible = ", possibly " + sum_text(sum, style);
    possible_bytes = ", possibly " + human_bytes(sum.bytes, style);
  }
  const std::string reachable = ", reachable " + human_bytes(report.of(LeakClass::reachable).bytes, style);
  std::string top, place, function;
  if (!groups.empty() && groups.front().leak_class == LeakClass::definite) {
    top = "; top: " + human_bytes(groups.front().bytes(), style) + " ";
    place = place_text(*groups.front().place, style);
    function = printable(short_function(groups.front().place->function));
  }
  // What is reachable is no news: it gives way to the rest, and the name of a place before other numbers.
  for (const std::string& sums : {text + possible + reachable, text + possible, text + possible_bytes})
    if (display_width(sums + top + place) <= style.width)
      return sums + top + place + "\n";
  const std::string numbers = text + possible_bytes + top;
  const size_t used = display_width(numbers);
  return numbers + fit(function, style.width > used ? style.width - used : 1, style) + "\n";
}

} // namespace hl
