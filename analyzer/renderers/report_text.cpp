// `report` and `live` for people: the verdict first, then the lists, then what was lost. See heap_output.h.
#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "analyses/memory_metrics.h"
#include "renderers/report_parts.h"
#include "renderers/stack_text.h"

namespace hl {
namespace {

constexpr size_t kCallers = 6;
// A place that holds so much, by way of libraries, is told apart by their functions: a program that is little
// more than its libraries has no other places.
constexpr double kWorthTellingApart = 0.25;
constexpr size_t kLibraryFunctions = 4;

void row(std::string& out, const char* name, const std::string& value, const std::string& rest,
         const TextStyle& style) {
  out += "  " + pad_right(name, 13) + pad_left(style.bold(value), 16) + (rest.empty() ? "" : "   " + rest) +
         "\n";
}

// The sentence a reader should remember.
std::vector<std::string> verdict(const HeapAnswer& answer, const std::vector<SiteGroup>& groups,
                                 const TextStyle& style) {
  const ReplayResult& result = answer.heap.result();
  if (result.allocation_calls == 0)
    return {"Nothing was allocated."};
  const auto who = [&](SiteMetric metric, uint64_t whole) -> std::string {
    const auto top = top_groups(groups, metric, 1);
    if (top.empty() || whole == 0)
      return ".";
    const SiteGroup& group = groups[top.front()];
    return ", " + human_percent(group.numbers.of(metric), whole) + " of it from " + place_text(group, style) +
           ".";
  };
  const bool at_end = answer.moment.kind == Moment::Kind::exit;
  const std::string peak = "The live heap peaked at " + human_bytes(result.peak_bytes, style) + " after " +
                           human_ns(answer.trace.clock().ns(result.peak_ticks)) +
                           who(SiteMetric::peak_bytes, result.peak_bytes);
  const std::string when = !at_end                  ? "At the moment asked for, "
                           : answer.trace.running() ? "So far, "
                                                    : "At the end, ";
  if (result.live_blocks == 0)
    return {peak, when + "every block had been freed."};
  return {peak, when + human_bytes(result.live_bytes, style) + " in " + plural(result.live_blocks, "block") +
                    (at_end && !answer.trace.running() ? " had not been freed" : " were live") +
                    who(SiteMetric::live_bytes, result.live_bytes)};
}

std::string timeline(const HeapAnswer& answer, const TextStyle& style) {
  const ReplayResult& result = answer.heap.result();
  if (result.timeline.size() < 8 || result.peak_bytes == 0)
    return "";
  const size_t columns = std::min<size_t>(style.width > 8 ? style.width - 4 : 4, 96);
  const size_t bins = result.timeline.size();
  std::vector<uint64_t> values(columns, 0);
  for (size_t column = 0; column < columns; ++column) {
    const size_t from = column * bins / columns, to = std::max(from + 1, (column + 1) * bins / columns);
    for (size_t i = from; i < to && i < bins; ++i)
      values[column] = std::max(values[column], result.timeline[i].max_live_bytes);
  }
  const uint64_t span_ns = answer.trace.clock().ns(result.last_ticks);
  return rule("Live heap over time",
              human_ns(span_ns) + " wide, " + human_bytes(result.peak_bytes, style) + " high", style) +
         "  " + sparkline(values.data(), values.size(), result.peak_bytes, style) + "\n";
}

struct Section {
  SiteMetric metric;
  std::string title, amount;
  uint64_t whole;
};

class SiteList {
 public:
  SiteList(const HeapAnswer& answer, const std::vector<SiteGroup>& groups, const TextStyle& style)
      : answer_(answer), groups_(groups), style_(style) {}

  std::string section(const Section& section, size_t limit) {
    const auto top = top_groups(groups_, section.metric, limit);
    if (top.empty())
      return "";
    std::string out = rule(section.title, section.amount, style_);
    uint64_t shown = 0;
    for (size_t i = 0; i < top.size(); ++i) {
      const SiteGroup& group = groups_[top[i]];
      shown += group.numbers.of(section.metric);
      out += entry(i + 1, group, section);
    }
    const auto all = top_groups(groups_, section.metric, 0);
    if (all.size() > top.size())
      out += "  " +
             style_.dim(pad_left("", 4) +
                        more_places(all.size() - top.size(),
                                    amount_of(section.metric, section.whole > shown ? section.whole - shown : 0))) +
             "\n";
    return out;
  }

 private:
  std::string amount_of(SiteMetric metric, uint64_t value) const {
    switch (metric) {
    case SiteMetric::peak_bytes:
    case SiteMetric::live_bytes:
    case SiteMetric::bytes_requested:
    case SiteMetric::bytes_copied:
      return human_bytes(value, style_);
    default:
      return with_thousands(value);
    }
  }

  std::string detail_of(SiteMetric metric, const SiteNumbers& numbers) const {
    switch (metric) {
    case SiteMetric::peak_bytes:
      return plural(numbers.peak_blocks, "block");
    case SiteMetric::live_bytes:
      return plural(numbers.live_blocks, "block");
    case SiteMetric::allocation_calls:
      return human_bytes(numbers.allocation_calls == 0 ? 0
                                                       : numbers.bytes_requested / numbers.allocation_calls,
                         style_) +
             " each";
    case SiteMetric::temporary:
      return "of " + with_thousands(numbers.allocation_calls);
    case SiteMetric::bytes_copied:
      return plural(numbers.reallocs, "realloc");
    case SiteMetric::bytes_requested:
      return plural(numbers.allocation_calls, "call");
    }
    return "";
  }

  std::string entry(size_t number, const SiteGroup& group, const Section& section) {
    const std::string head = list_head(number, amount_of(section.metric, group.numbers.of(section.metric)),
                                       human_percent(group.numbers.of(section.metric), section.whole),
                                       detail_of(section.metric, group.numbers), style_);
    const size_t indent = 8;
    std::string out =
        head + group_label(group, style_, style_.width - std::min(style_.width / 2, display_width(head))) +
        "\n";
    const uint32_t site = heaviest_site(group, answer_.heap.result(), section.metric);
    const std::string more =
        group.sites.size() > 1 ? " (the heaviest of " + with_thousands(group.sites.size()) + " stacks)" : "";
    if (const auto known = shown_.find(site); known != shown_.end()) {
      out += std::string(indent, ' ') + style_.dim("  (its stack: see " + known->second + ")") + "\n";
      return out + library_lines(group, section, indent + 2);
    }
    shown_.emplace(site, "\"" + section.title + "\", number " + std::to_string(number));
    const std::vector<ResolvedFrame> frames =
        answer_.resolver.frames(answer_.heap.result().site_stacks[site]);
    out += stack_lines(frames, kCallers, indent, style_);
    if (!more.empty())
      out += std::string(indent, ' ') + style_.dim(" " + more) + "\n";
    return out + library_lines(group, section, indent + 2);
  }

  std::string library_lines(const SiteGroup& group, const Section& section, size_t indent) const {
    const uint64_t all = group.numbers.of(section.metric);
    if (group.sites.size() < 2 ||
        static_cast<double>(all) < kWorthTellingApart * static_cast<double>(section.whole))
      return "";
    const std::vector<LibraryShare> shares =
        library_shares(group, answer_.heap.result(), answer_.resolver, section.metric);
    if (shares.size() < 2)
      return "";
    const std::string margin(indent, ' ');
    std::string out = margin + style_.dim("of it, by the library function that allocates:") + "\n";
    // One more is shown where otherwise a line would say that there is one.
    const size_t shown = shares.size() <= kLibraryFunctions + 1 ? shares.size() : kLibraryFunctions;
    uint64_t told = 0;
    for (size_t i = 0; i < shown; ++i) {
      const std::string head = margin + pad_left(amount_of(section.metric, shares[i].amount), 12) +
                               pad_left(human_percent(shares[i].amount, section.whole), 8) + "  ";
      out += head +
             (shares[i].function == nullptr
                  ? style_.dim("without a library")
                  : frame_label(*shares[i].function, style_,
                                style_.width - std::min(style_.width / 2, display_width(head)))) +
             "\n";
      told += shares[i].amount;
    }
    if (shown < shares.size())
      out += margin +
             style_.dim(pad_left(amount_of(section.metric, all - told), 12) +
                        pad_left(human_percent(all - told, section.whole), 8) + "  " +
                        plural(shares.size() - shown, "more function")) +
             "\n";
    return out;
  }

  const HeapAnswer& answer_;
  const std::vector<SiteGroup>& groups_;
  const TextStyle& style_;
  std::unordered_map<uint32_t, std::string> shown_;
};

std::string numbers(const HeapAnswer& answer, const TextStyle& style) {
  const ReplayResult& result = answer.heap.result();
  std::string out = "\n";
  const double seconds = static_cast<double>(answer.trace.clock().ns(result.last_ticks)) / 1e9;
  row(out, "allocations", with_thousands(result.allocation_calls),
      human_bytes(result.bytes_requested, style) + " requested" +
          (result.allocation_calls != 0
               ? ", " + human_bytes(result.bytes_requested / result.allocation_calls, style) + " on average"
               : "") +
          (seconds > 0.01 ? ", " +
                                with_thousands(static_cast<uint64_t>(
                                    static_cast<double>(result.allocation_calls) / seconds)) +
                                " a second"
                          : ""),
      style);
  row(out, "frees", with_thousands(result.free_calls), "", style);
  row(out, "peak", human_bytes(result.peak_bytes, style),
      plural(result.peak_blocks, "block") + ", after " + human_ns(answer.trace.clock().ns(result.peak_ticks)),
      style);
  row(out, answer.moment.kind == Moment::Kind::exit && !answer.trace.running() ? "at the end" : "live",
      human_bytes(result.live_bytes, style),
      plural(result.live_blocks, "block") + (answer.moment.kind == Moment::Kind::exit ? ", not freed" : ""),
      style);
  row(out, "temporary", with_thousands(result.temporary),
      human_percent(result.temporary, result.allocation_calls) +
          " of allocations: freed before their thread allocated again",
      style);
  uint64_t sites = 0;
  for (const SiteTotals& site : result.sites)
    sites += site.allocation_calls != 0 ? 1 : 0;
  row(out, "stacks", with_thousands(sites), "distinct stacks that allocated", style);
  const MappingTotals& mapped = result.mappings.totals();
  if (mapped.map_calls + mapped.name_calls != 0)
    row(out, "mapped", human_bytes(mapped.peak_bytes, style),
        "at most, by " + plural(mapped.map_calls, "mmap call") + " of the program's own; " +
            human_bytes(mapped.mapped_bytes, style) + " at the end",
        style);
  if (const auto rss = most_resident_bytes(answer.trace, memory_readings(answer.trace)))
    row(out, "peak RSS", human_bytes(*rss, style), "resident memory of the whole process", style);
  return out;
}

std::string threads_table(const HeapAnswer& answer, size_t limit, const TextStyle& style) {
  const ReplayResult& result = answer.heap.result();
  std::vector<size_t> order;
  for (size_t i = 0; i < result.threads.size(); ++i)
    if (result.threads[i].allocation_calls + result.threads[i].free_calls != 0)
      order.push_back(i);
  if (order.size() < 2)
    return "";
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return result.threads[a].bytes_requested > result.threads[b].bytes_requested;
  });
  std::string out = rule("Threads", with_thousands(order.size()), style);
  out += style.dim("  " + pad_right("thread", 24) + pad_left("allocations", 14) + pad_left("requested", 12) +
                   pad_left("at peak", 12) + pad_left("at end", 12) + pad_left("freed others'", 16)) +
         "\n";
  const size_t shown = limit == 0 ? order.size() : std::min(order.size(), std::max<size_t>(limit, 5));
  for (size_t i = 0; i < shown; ++i) {
    const ThreadTotals& thread = result.threads[order[i]];
    std::string name = thread.name.empty() ? "#" + std::to_string(order[i]) : printable(thread.name);
    if (thread.tid != 0)
      name += " (" + std::to_string(thread.tid) + ")";
    out += "  " + pad_right(fit(name, 23, style), 24) +
           pad_left(with_thousands(thread.allocation_calls), 14) +
           pad_left(human_bytes(thread.bytes_requested, style), 12) +
           pad_left(human_bytes(thread.peak_bytes, style), 12) +
           pad_left(human_bytes(thread.live_bytes, style), 12) +
           pad_left(with_thousands(thread.freed_for_others), 16) + "\n";
  }
  if (shown < order.size())
    out += style.dim("  " + with_thousands(order.size() - shown) + " more threads") + "\n";
  return out;
}

std::string size_table(const HeapAnswer& answer, const TextStyle& style) {
  const ReplayResult& result = answer.heap.result();
  uint64_t most = 0;
  for (const SizeClass& size_class : result.size_classes)
    most = std::max(most, size_class.calls);
  if (most == 0)
    return "";
  std::string out = rule("Requested sizes", "", style);
  out += style.dim("  " + pad_left("up to", 10) + pad_left("allocations", 16) + pad_left("share", 9) +
                   pad_left("requested", 12) + pad_left("live at end", 13) + "") +
         "\n";
  // Sizes to 8 bytes are one class to everybody.
  SizeClass small;
  for (size_t i = 0; i <= 3; ++i) {
    small.calls += result.size_classes[i].calls;
    small.bytes += result.size_classes[i].bytes;
    small.live_bytes += result.size_classes[i].live_bytes;
  }
  most = std::max(most, small.calls);
  for (size_t i = 3; i < std::size(result.size_classes); ++i) {
    const SizeClass& size_class = i == 3 ? small : result.size_classes[i];
    if (size_class.calls == 0)
      continue;
    const size_t bar = static_cast<size_t>(
        std::lround(24.0 * static_cast<double>(size_class.calls) / static_cast<double>(most)));
    std::string bars;
    for (size_t k = 0; k < bar; ++k)
      bars += style.unicode ? "█" : "#";
    const TextStyle human{false, style.unicode, false, style.width};
    std::string up_to = human_bytes(uint64_t{1} << i, human);
    if (const size_t dot = up_to.find(".0"); dot != std::string::npos)
      up_to.erase(dot, up_to.find(' ') - dot);
    out += "  " + pad_left(up_to, 10) + pad_left(with_thousands(size_class.calls), 16) +
           pad_left(human_percent(size_class.calls, result.allocation_calls), 9) +
           pad_left(human_bytes(size_class.bytes, style), 12) +
           pad_left(human_bytes(size_class.live_bytes, style), 13) + "  " + bars + "\n";
  }
  return out;
}

std::string realloc_part(const HeapAnswer& answer, SiteList& list, size_t limit, const TextStyle& style) {
  const ReplayResult& result = answer.heap.result();
  if (result.reallocs.calls == 0)
    return "";
  std::string out = rule("Reallocation", "", style);
  out += "  " + plural(result.reallocs.calls, "realloc") + " of a block in " +
         plural(result.chains, "chain") + ", the longest " + with_thousands(result.longest_chain) + "; " +
         with_thousands(result.reallocs.moved) + " moved it, copying at most " +
         human_bytes(result.reallocs.bytes_copied, style) + ".\n";
  if (result.reallocs.bytes_copied != 0)
    out += list.section({SiteMetric::bytes_copied, "Most copied by realloc",
                         human_bytes(result.reallocs.bytes_copied, style), result.reallocs.bytes_copied},
                        limit == 0 ? 0 : std::min<size_t>(limit, 3));
  return out;
}

std::string mappings_part(const HeapAnswer& answer, size_t limit, const TextStyle& style) {
  const MappingTracker& mappings = answer.heap.result().mappings;
  std::vector<const MappingTracker::Name*> names;
  for (const MappingTracker::Name& name : mappings.by_name())
    if (!name.name.empty())
      names.push_back(&name);
  std::string out;
  if (!names.empty()) {
    std::sort(names.begin(), names.end(), [](const auto* a, const auto* b) {
      return a->use.max_live_bytes != b->use.max_live_bytes ? a->use.max_live_bytes > b->use.max_live_bytes
                                                            : a->name < b->name;
    });
    out += rule("Named mappings", "mapped, not necessarily resident", style);
    out += style.dim("  " + pad_left("at most", 12) + pad_left("at end", 12) + pad_left("named", 10) +
                     "  name") +
           "\n";
    const size_t shown = limit == 0 ? names.size() : std::min(names.size(), std::max<size_t>(limit, 8));
    for (size_t i = 0; i < shown; ++i)
      out += "  " + pad_left(human_bytes(names[i]->use.max_live_bytes, style), 12) +
             pad_left(human_bytes(names[i]->use.live_bytes, style), 12) +
             pad_left(with_thousands(names[i]->use.calls), 10) + "  " +
             fit(printable(names[i]->name), style.width > 60 ? style.width - 38 : 22, style) + "\n";
    if (shown < names.size())
      out += style.dim("  " + with_thousands(names.size() - shown) + " more names") + "\n";
  }
  std::vector<std::pair<uint32_t, const MappingUse*>> sites;
  for (const auto& [site, use] : mappings.by_site())
    if (use.max_live_bytes != 0)
      sites.emplace_back(site, &use);
  if (sites.empty())
    return out;
  std::sort(sites.begin(), sites.end(), [](const auto& a, const auto& b) {
    return a.second->max_live_bytes != b.second->max_live_bytes
               ? a.second->max_live_bytes > b.second->max_live_bytes
               : a.first < b.first;
  });
  out += rule("Mapped by the program itself", human_bytes(mappings.totals().peak_bytes, style) + " at most",
              style);
  const size_t shown = limit == 0 ? sites.size() : std::min<size_t>(sites.size(), std::min<size_t>(limit, 3));
  for (size_t i = 0; i < shown; ++i) {
    const auto frames = answer.resolver.frames(answer.heap.result().site_stacks[sites[i].first]);
    const std::string head = "  " +
                             pad_left(style.bold(human_bytes(sites[i].second->max_live_bytes, style)), 12) +
                             "  " + pad_right(style.dim(plural(sites[i].second->calls, "call")), 12) + "  ";
    out += head +
           frame_label(answer.resolver.leading_frame(answer.heap.result().site_stacks[sites[i].first]), style,
                       style.width - std::min(style.width / 2, display_width(head))) +
           "\n";
    out += stack_lines(frames, 3, 8, style);
  }
  return out;
}

} // namespace

std::string report_text(const HeapAnswer& answer, const TextStyle& style) {
  const ReplayResult& result = answer.heap.result();
  const std::vector<SiteGroup> groups = group_sites(result, answer.resolver, answer.by);
  SiteList list(answer, groups, style);
  const size_t shorter = answer.top == 0 ? 0 : std::max<size_t>(1, (answer.top + 1) / 2);
  std::string out = headline(answer, style);
  for (const std::string& sentence : verdict(answer, groups, style))
    out += wrapped(sentence, "", "", style);
  out += warning_line(answer, style);
  if (!answer.run_note.empty())
    out += wrapped(answer.run_note, "", "", style);
  out += numbers(answer, style);
  out += timeline(answer, style);
  out += list.section({SiteMetric::peak_bytes, "Most bytes at the peak",
                       human_bytes(result.peak_bytes, style), result.peak_bytes},
                      answer.top);
  const bool at_end = answer.moment.kind == Moment::Kind::exit && !answer.trace.running();
  out += list.section({SiteMetric::live_bytes, at_end ? "Not freed at the end" : "Live at that moment",
                       human_bytes(result.live_bytes, style), result.live_bytes},
                      answer.top);
  out += list.section({SiteMetric::allocation_calls, "Most allocation calls",
                       with_thousands(result.allocation_calls), result.allocation_calls},
                      shorter);
  out += list.section({SiteMetric::temporary, "Most temporary allocations", with_thousands(result.temporary),
                       result.temporary},
                      shorter);
  out += threads_table(answer, answer.top, style);
  out += size_table(answer, style);
  out += realloc_part(answer, list, answer.top, style);
  out += mappings_part(answer, answer.top, style);
  out += unknown_part(answer, style);
  return out;
}

std::string live_text(const HeapAnswer& answer, const TextStyle& style) {
  const ReplayResult& result = answer.heap.result();
  const std::vector<SiteGroup> groups = group_sites(result, answer.resolver, answer.by);
  SiteList list(answer, groups, style);
  std::string out = headline(answer, style);
  out += human_bytes(result.live_bytes, style) + " live in " + plural(result.live_blocks, "block") + " at " +
         human_ns(answer.trace.clock().ns(result.last_ticks)) + "; the peak until then was " +
         human_bytes(result.peak_bytes, style) + ".\n";
  out += warning_line(answer, style);
  if (!answer.run_note.empty())
    out += wrapped(answer.run_note, "", "", style);
  out += list.section(
      {SiteMetric::live_bytes, "Live heap by site", human_bytes(result.live_bytes, style), result.live_bytes},
      answer.top);
  out += unknown_part(answer, style);
  return out;
}

} // namespace hl
