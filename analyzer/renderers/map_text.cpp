// `map` for people: the verdict, the regions from low to high addresses, what each kind did over time, and
// the same memory in the words of Android, Apple and the OOM killer. See map_output.h.
#include <algorithm>

#include "renderers/map_picture.h"
#include "renderers/report_parts.h"

namespace hl {
namespace {

struct Ranked {
  std::string name;
  CategoryNumbers numbers;
};

std::vector<Ranked> ranked(const Categories& categories) {
  std::vector<Ranked> order;
  for (const auto& [name, numbers] : categories)
    order.push_back({name, numbers});
  std::stable_sort(order.begin(), order.end(),
                   [](const Ranked& a, const Ranked& b) { return a.numbers.rss > b.numbers.rss; });
  return order;
}

uint64_t rss_of(const MemorySample& sample, const std::string& category) {
  const auto found = sample.categories.find(category);
  return found == sample.categories.end() ? 0 : found->second.rss;
}

std::string cause_words(const MemorySample& sample) {
  switch (sample.cause) {
  case SampleCause::start:
    return "taken soon after the start";
  case SampleCause::periodic:
    return "taken as a matter of routine";
  case SampleCause::mark:
    return "taken at mark '" + printable(sample.name) + "'";
  case SampleCause::peak:
    return "taken when resident memory passed its peak so far";
  case SampleCause::request:
    return "taken on request" + (sample.name.empty() ? "" : " ('" + printable(sample.name) + "')");
  case SampleCause::exit:
    return "taken right before the end";
  case SampleCause::unknown:
    break;
  }
  return "of unknown cause";
}

class MapText {
 public:
  MapText(const MapAnswer& answer, const TextStyle& style)
      : answer_(answer), report_(answer.report), sample_(report_.sample()), style_(style) {}

  std::string all() const {
    std::string out;
    if (answer_.heap != nullptr) {
      out += headline(*answer_.heap, style_);
      out += wrapped(which_sample(), "", "  ", style_);
    } else {
      out += style_.bold(printable(answer_.source)) + "\n";
    }
    out += "\n";
    for (const std::string& sentence : verdict())
      out += wrapped(sentence, "", "", style_);
    if (answer_.heap != nullptr)
      out += warning_line(*answer_.heap, style_);
    out += category_table();
    out += rule("The address space, from low to high addresses",
                plural(report_.map.vmas.size(), "mapping") + ", " +
                    plural(report_.map.regions.size(), "region") + (answer_.all ? "" : "; --all lists each"),
                style_) +
           map_picture(answer_, style_);
    out += over_time();
    out += android();
    out += apple();
    out += limits();
    out += unknown();
    return out;
  }

 private:
  std::string bytes(uint64_t value) const { return human_bytes(value, style_); }
  uint64_t ns(uint64_t ticks) const { return answer_.heap->trace.clock().ns(ticks); }

  std::string which_sample() const {
    std::string text = "Memory sample " + std::to_string(report_.chosen + 1) + " of " +
                       std::to_string(report_.samples.size() + report_.left_out) + ": " +
                       cause_words(sample_) + ", " + human_ns(ns(sample_.ticks)) + " after the start";
    if (report_.wanted_ticks != 0) {
      const uint64_t wanted = report_.wanted_ticks;
      const bool before = sample_.ticks < wanted;
      const uint64_t apart = before ? ns(wanted) - ns(sample_.ticks) : ns(sample_.ticks) - ns(wanted);
      text += apart == 0 ? ", at the moment asked for"
                         : ", " + human_ns(apart) + (before ? " before" : " after") + " the moment asked for";
    }
    text += sample_.consistent
                ? "; consistent (the process stood still)"
                : "; the process ran on while it was read, for " +
                      human_ns(ns(std::max(sample_.end_ticks, sample_.ticks)) - ns(sample_.ticks));
    if (!sample_.has_pages)
      text += "; without its pages, so parts of one mapping are estimated";
    return text + ".";
  }

  std::vector<std::string> verdict() const {
    const std::vector<Ranked> order = ranked(sample_.categories);
    const uint64_t rss = sample_.total.rss;
    std::string what = bytes(rss) + " resident";
    if (sample_.total.swap != 0)
      what += " (and " + bytes(sample_.total.swap) + " swapped out)";
    for (size_t i = 0; i < std::min<size_t>(3, order.size()) && rss != 0; ++i)
      if (order[i].numbers.rss * 50 >= rss)
        what += (i == 0 ? ": " : ", ") + category_words(order[i].name) + " " +
                human_percent(order[i].numbers.rss, rss);
    std::vector<std::string> sentences = {what + "."};
    if (const std::string growth = growth_sentence(); !growth.empty())
      sentences.push_back(growth);
    if (const std::string largest = largest_sentence(); !largest.empty())
      sentences.push_back(largest);
    if (const std::string site = site_sentence(); !site.empty())
      sentences.push_back(site);
    return sentences;
  }

  // At its end a program has often given back what it lived on: say where to look.
  std::string largest_sentence() const {
    const auto largest =
        std::max_element(report_.samples.begin(), report_.samples.end(),
                         [](const auto& a, const auto& b) { return a.total.rss < b.total.rss; });
    if (answer_.heap == nullptr || largest->total.rss < sample_.total.rss + sample_.total.rss / 10)
      return "";
    const std::vector<Ranked> order = ranked(largest->categories);
    return "The largest sample, " + human_ns(ns(largest->ticks)) + " after the start, had " +
           bytes(largest->total.rss) + ", " + human_percent(order[0].numbers.rss, largest->total.rss) +
           " of it " + category_words(order[0].name) + ": --largest shows it.";
  }

  std::string growth_sentence() const {
    const MemorySample& first = report_.samples.front();
    if (answer_.heap == nullptr || report_.chosen == 0)
      return "";
    const std::string since = "Since the first sample (" +
                              human_ns(ns(sample_.ticks) - std::min(ns(sample_.ticks), ns(first.ticks))) +
                              " before) ";
    if (sample_.total.rss <= first.total.rss)
      return since + "it did not grow.";
    const uint64_t grown = sample_.total.rss - first.total.rss;
    std::string most;
    uint64_t most_bytes = 0;
    for (const auto& [name, numbers] : sample_.categories) {
      const uint64_t before = rss_of(first, name);
      if (numbers.rss > before && numbers.rss - before > most_bytes) {
        most_bytes = numbers.rss - before;
        most = name;
      }
    }
    return since + "it grew by " + bytes(grown) + "; most grew " + category_words(most) + ", by " +
           bytes(most_bytes) + ".";
  }

  // Who mapped most of what the program mapped itself.
  std::string site_sentence() const {
    if (answer_.heap == nullptr)
      return "";
    std::map<uint32_t, uint64_t> by_site;
    for (const Region& region : report_.map.regions)
      if (region.kind == RegionKind::anonymous && region.site != 0)
        by_site[region.site] += region.rss;
    const auto most = std::max_element(by_site.begin(), by_site.end(),
                                       [](const auto& a, const auto& b) { return a.second < b.second; });
    const auto& stacks = answer_.heap->heap.result().site_stacks;
    if (most == by_site.end() || most->second * 20 < sample_.total.rss || most->first >= stacks.size())
      return "";
    const ResolvedFrame frame = answer_.heap->resolver.leading_frame(stacks[most->first]);
    SiteGroup group;
    group.function = std::string(frame.function);
    group.file = frame.file;
    group.line = frame.line;
    return "Of the maps the program made itself " + bytes(most->second) + " are resident from " +
           place_text(group, style_) + ".";
  }

  std::string category_table() const {
    const size_t column = short_bytes_width(style_);
    std::string out = rule("What is resident, by kind", "", style_);
    std::string head = "  " + pad_right("kind", 22);
    for (const char* name : {"size", "RSS", "share", "PSS", "private", "shared", "clean", "dirty", "swap"})
      head += pad_left(name, name == std::string_view("share") ? 9 : column);
    out += style_.dim(head) + "\n";
    CategoryNumbers sum;
    for (const Ranked& entry : ranked(sample_.categories)) {
      sum.add(entry.numbers);
      out += table_row(category_words(entry.name), entry.numbers, column);
    }
    out += style_.bold(table_row("all", sum, column));
    if (rss_of(sample_, "unknown") != 0)
      out +=
          wrapped(std::string("Unknown is what no name, call, thread, block or shape explains") +
                      (answer_.heap == nullptr ? "; a recording would name the calls that mapped it." : "."),
                  "  ", "  ", style_);
    return out;
  }

  std::string table_row(const std::string& name, const CategoryNumbers& n, size_t column) const {
    const auto number = [&](uint64_t value) { return pad_left(short_bytes(value, style_), column); };
    return "  " + pad_right(fit(printable(name), 21, style_), 22) + number(n.size) + number(n.rss) +
           pad_left(sample_.total.rss == 0 ? "" : human_percent(n.rss, sample_.total.rss), 9) +
           number(n.pss) + number(n.private_clean + n.private_dirty) +
           number(n.shared_clean + n.shared_dirty) + number(n.private_clean + n.shared_clean) +
           number(n.private_dirty + n.shared_dirty) + number(n.swap) + "\n";
  }

  std::string time_line(const std::string& name, const std::vector<uint64_t>& values, size_t columns) const {
    const uint64_t most = *std::max_element(values.begin(), values.end());
    return "  " + pad_right(fit(printable(name), 21, style_), 22) +
           pad_right(sparkline(values.data(), values.size(), most, style_), columns + 2) +
           pad_left(short_bytes(values.front(), style_), 8) + pad_left(short_bytes(most, style_), 8) +
           pad_left(short_bytes(values.back(), style_), 8) + "\n";
  }

  // The greatest value of `number` in each of `columns` equal parts of the time.
  std::vector<uint64_t> usage_line(UsageField field, size_t columns) const {
    std::vector<uint64_t> values(columns, 0);
    const uint64_t first = report_.usage.front().ticks;
    const uint64_t span = std::max<uint64_t>(1, report_.usage.back().ticks - first);
    std::vector<bool> known(columns, false);
    for (const UsageSample& row : report_.usage) {
      if (!row.values.has(field))
        continue;
      const auto at = static_cast<size_t>(static_cast<double>(row.ticks - first) / static_cast<double>(span) *
                                          static_cast<double>(columns - 1));
      values[at] = std::max(values[at], row.values.of(field));
      known[at] = true;
    }
    const auto first_known = std::find(known.begin(), known.end(), true);
    for (size_t i = 0; i < columns && first_known != known.end(); ++i)
      if (!known[i])
        values[i] = i == 0 ? values[static_cast<size_t>(first_known - known.begin())] : values[i - 1];
    return values;
  }

  std::string over_time() const {
    if (answer_.heap == nullptr || (report_.samples.size() < 2 && report_.usage.size() < 2))
      return "";
    const size_t columns = std::clamp<size_t>(style_.width - 50, 10, 64);
    std::string out = rule("Over time", "", style_);
    out += style_.dim("  " + pad_right("", 22 + columns + 2) + pad_left("first", 8) + pad_left("most", 8) +
                      pad_left("last", 8)) +
           "\n";
    if (report_.usage.size() >= 2) {
      out += time_line("RSS", usage_line(UsageField::rss, columns), columns);
      for (const auto& [field, name] : {std::pair{UsageField::pss, "PSS"},
                                        {UsageField::swap, "swap"},
                                        {UsageField::cgroup_current, "cgroup"}}) {
        const std::vector<uint64_t> values = usage_line(field, columns);
        if (std::any_of(values.begin(), values.end(), [](uint64_t value) { return value != 0; }))
          out += time_line(name, values, columns);
      }
    }
    if (report_.samples.size() >= 2)
      out += sampled_categories(columns);
    return out;
  }

  std::string sampled_categories(size_t columns) const {
    Categories most; // greatest rss of each, over the samples
    for (const MemorySample& sample : report_.samples)
      for (const auto& [name, numbers] : sample.categories)
        most[name].rss = std::max(most[name].rss, numbers.rss);
    std::string out = style_.dim("  RSS by kind, at " + plural(report_.samples.size(), "sample") + " from " +
                                 human_ns(ns(report_.samples.front().ticks)) + " to " +
                                 human_ns(ns(report_.samples.back().ticks)) +
                                 (report_.left_out != 0 ? "; " + plural(report_.left_out, "more") : "")) +
                      "\n";
    size_t shown = 0;
    for (const Ranked& entry : ranked(most)) {
      if (entry.numbers.rss == 0 || ++shown > 10)
        break;
      std::vector<uint64_t> values;
      for (const MemorySample& sample : report_.samples)
        values.push_back(rss_of(sample, entry.name));
      // More samples than columns: the greatest of each part.
      if (values.size() > columns) {
        std::vector<uint64_t> fewer(columns, 0);
        for (size_t i = 0; i < values.size(); ++i)
          fewer[i * columns / values.size()] = std::max(fewer[i * columns / values.size()], values[i]);
        fewer.front() = values.front();
        fewer.back() = values.back();
        values = fewer;
      }
      out += time_line(category_words(entry.name), values, columns);
    }
    return out;
  }

  std::string words_row(const char* name, uint64_t value, const std::string& meaning) const {
    return wrapped(meaning, "  " + pad_right(name, 15) + pad_left(style_.bold(bytes(value)), 12) + "  ",
                   std::string(31, ' '), style_);
  }

  std::string android() const {
    const AppSummary& app = report_.app;
    std::string out = rule("In Android's words", "App Summary of dumpsys meminfo, by its rules", style_);
    out += words_row("Java Heap", app.java_heap,
                     "ART's heap: private dirty of its spaces, private of boot images");
    out += words_row("Native Heap", app.native_heap,
                     "malloc's memory: private dirty of [heap], libc_malloc, scudo");
    out += words_row("Code", app.code, "private pages of .so, .jar, .apk, .ttf, .dex, .oat and JIT code");
    out += words_row("Stack", app.stack, "private dirty of stacks the kernel names");
    out += words_row("Graphics", app.graphics,
                     "GPU mappings; what only drivers report (mtrack) is not in smaps");
    out += words_row(
        "Private Other", app.private_other,
        "all other private memory: Dart's heap, anonymous maps, libc.so.6 (its name does not end in .so)");
    out += words_row("System", app.system, "its share of pages that others map, too, and of swap");
    out += words_row("TOTAL PSS", app.total_pss,
                     "PSS + swapped PSS: what dumpsys meminfo, procstats and the low memory "
                     "killer's statistics show");
    return out;
  }

  std::string apple() const {
    const AppleWords& apple = report_.apple;
    std::string out = rule("In Apple's words", "of the same pages", style_);
    out += words_row("dirty", apple.dirty,
                     "written to, cannot be dropped: the 'dirty' column of vmmap and footprint");
    out += words_row("clean", apple.clean, "can be read again from files: no part of the footprint");
    out += words_row("swapped", apple.swapped,
                     "in swap; Apple compresses instead: 'swapped' in vmmap and VM Tracker");
    out += words_row("footprint", apple.footprint(),
                     "dirty + swapped: Xcode's memory gauge, and what Jetsam limits");
    return out;
  }

  // The last reading of a counter up to the chosen sample, else any.
  uint64_t counter(UsageField field) const {
    if (sample_.usage.has(field))
      return sample_.usage.of(field);
    uint64_t value = kUsageUnread;
    for (const UsageSample& row : report_.usage) {
      if (row.values.has(field) && (row.ticks <= sample_.ticks || value == kUsageUnread))
        value = row.values.of(field);
    }
    return value;
  }
  bool known(UsageField field) const { return counter(field) != kUsageUnread; }
  // How much a counter went up over the recording.
  uint64_t rise(UsageField field) const {
    uint64_t first = kUsageUnread, last = 0;
    for (const UsageSample& row : report_.usage) {
      if (!row.values.has(field))
        continue;
      if (first == kUsageUnread)
        first = row.values.of(field);
      last = row.values.of(field);
    }
    return first == kUsageUnread || last < first ? 0 : last - first;
  }

  std::string limits() const {
    if (answer_.heap == nullptr)
      return "";
    std::vector<std::string> lines;
    const uint64_t current = counter(UsageField::cgroup_current), limit = counter(UsageField::cgroup_max);
    if (current != kUsageUnread) {
      std::string line = "The cgroup used " + bytes(current);
      if (limit == kUsageUnread || limit == kUsageUnlimited)
        line += " and has no limit of its own.";
      else
        line += " of its limit of " + bytes(limit) + ": " + bytes(limit > current ? limit - current : 0) +
                " (" + human_percent(limit > current ? limit - current : 0, limit) + ") left.";
      if (known(UsageField::cgroup_peak))
        line += " At most it was " + bytes(counter(UsageField::cgroup_peak)) + ".";
      lines.push_back(line);
    }
    if (known(UsageField::cgroup_max_events) || known(UsageField::cgroup_oom_kills))
      lines.push_back("While recorded: reclaimed at the high mark " +
                      plural(rise(UsageField::cgroup_high_events), "time") + ", at the limit " +
                      plural(rise(UsageField::cgroup_max_events), "time") + "; the OOM killer came " +
                      plural(rise(UsageField::cgroup_oom_kills), "time") + " (the cgroup's counters).");
    if (known(UsageField::cgroup_pressure_us) || known(UsageField::machine_pressure_us)) {
      std::string line = "Waiting for memory:";
      if (known(UsageField::cgroup_pressure_us))
        line += " " + human_ns(rise(UsageField::cgroup_pressure_us) * 1000) + " in the cgroup";
      if (known(UsageField::machine_pressure_us))
        line += std::string(known(UsageField::cgroup_pressure_us) ? "," : "") + " " +
                human_ns(rise(UsageField::machine_pressure_us) * 1000) + " on the whole machine";
      lines.push_back(line + " (pressure stall information, 'some').");
    }
    const uint64_t badness = sample_.total.rss + report_.private_swap_bytes + report_.page_table_bytes;
    std::string line = "The OOM killer counts RSS + swap + page tables: " + bytes(badness);
    if (report_.page_table_bytes != 0)
      line += ", of which page tables " +
              (report_.page_tables_counted
                   ? bytes(report_.page_table_bytes)
                   : "about " + bytes(report_.page_table_bytes) + " (from the pages seen)");
    if (known(UsageField::machine_total) && counter(UsageField::machine_total) != 0)
      line += "; " + human_percent(badness, counter(UsageField::machine_total)) + " of the machine's memory";
    lines.push_back(line + ".");
    if (known(UsageField::oom_score)) {
      const auto adjusted = static_cast<int64_t>(counter(UsageField::oom_score_adj)) - 1000;
      std::string score = "Its oom_score was " + std::to_string(counter(UsageField::oom_score));
      if (known(UsageField::oom_score_adj))
        score += ", oom_score_adj " + std::to_string(adjusted) +
                 (adjusted == -1000 ? " (never killed)"
                  : adjusted == 0   ? " (neither spared nor preferred)"
                                    : "");
      lines.push_back(score + "; the process with the highest is killed first.");
    }
    if (known(UsageField::machine_available))
      lines.push_back("The machine had " + bytes(counter(UsageField::machine_available)) + " available of " +
                      bytes(counter(UsageField::machine_total)) + ".");
    std::string out = rule("Limits and the OOM killer", "", style_);
    for (const std::string& text : lines)
      out += wrapped(text, "  ", "    ", style_);
    return out;
  }

  std::string unknown() const {
    if (answer_.heap != nullptr)
      return unknown_part(*answer_.heap, style_);
    if (report_.map.problems.empty())
      return "";
    return rule("Lost or unknown", "", style_) +
           wrapped("The text has lines that make no sense, first " + printable(report_.map.problems[0]) + ".",
                   "  - ", "    ", style_);
  }

  const MapAnswer& answer_;
  const MemoryReport& report_;
  const MemorySample& sample_;
  const TextStyle& style_;
};

} // namespace

std::string map_text(const MapAnswer& answer, const TextStyle& style) {
  return MapText(answer, style).all();
}

} // namespace hl
