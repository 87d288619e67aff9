// The ledger for people: the verdict, the waterfall, who has what, what is not resident, how it went over
// time.
#include <algorithm>
#include <cmath>
#include <map>

#include "renderers/ledger_output.h"
#include "renderers/report_parts.h"
#include "renderers/stack_text.h"

namespace hl {
namespace {

constexpr size_t kOwnersShown = 3, kCourseRows = 10;

std::string sampled_text(const LedgerAnswer& answer) {
  const ResidencySample& sample = answer.sample;
  const TraceClock& clock = answer.heap.trace.clock();
  std::string text = "Sampled " + human_ns(clock.ns(sample.ticks)) + " after the start";
  switch (sample.cause) {
  case SampleCause::exit:
    text += ", right before its end";
    break;
  case SampleCause::mark:
  case SampleCause::request:
    text += sample.name.empty() ? ", on request" : ", at '" + printable(sample.name) + "'";
    break;
  case SampleCause::peak:
    text += ", when resident memory was larger than ever";
    break;
  case SampleCause::start:
  case SampleCause::periodic:
  case SampleCause::unknown:
    break;
  }
  constexpr int64_t kWorthSaying = 1'000'000;
  if (answer.heap.moment.kind != Moment::Kind::exit && std::abs(answer.distance_ns) > kWorthSaying)
    text += " (" + human_ns(static_cast<uint64_t>(std::abs(answer.distance_ns))) +
            (answer.distance_ns > 0 ? " after" : " before") + " the moment asked for)";
  text += sample.consistent() ? "; the process stood still meanwhile, so the accounts are exact"
                              : "; the process ran on meanwhile, so accounts may be off by what changed";
  return text + ".";
}

std::string share(uint64_t bytes, const LedgerAnswer& answer) {
  return human_percent(bytes, answer.ledger.rss);
}

// What the end no longer shows.
std::string largest_sentence(const LedgerAnswer& answer, const TextStyle& style) {
  const LedgerPoint* largest = nullptr;
  for (const LedgerPoint& point : answer.course)
    if (largest == nullptr || point.rss > largest->rss)
      largest = &point;
  if (largest == nullptr || largest->rss < answer.ledger.rss + answer.ledger.rss / 10)
    return "";
  const auto most = static_cast<size_t>(std::max_element(largest->bytes.begin(), largest->bytes.end()) -
                                        largest->bytes.begin());
  return wrapped("The largest sample, " + human_ns(answer.heap.trace.clock().ns(largest->ticks)) +
                     " after the start, had " + human_bytes(largest->rss, style) + ", most of it " +
                     std::string(to_string(static_cast<Account>(most))) + " (" +
                     human_bytes(largest->bytes[most], style) + "): --largest shows it.",
                 "", "", style);
}

// "= live 1.3 GiB + stranded 0.4 GiB + other 0.1 GiB": the largest accounts.
std::string sum_of_accounts(const LedgerAnswer& answer, const TextStyle& style) {
  const Ledger& ledger = answer.ledger;
  std::vector<size_t> order;
  for (size_t i = 0; i < kAccounts; ++i)
    if (ledger.bytes[i] != 0)
      order.push_back(i);
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return ledger.bytes[a] > ledger.bytes[b]; });
  std::string text = "=";
  constexpr size_t kNamed = 4;
  uint64_t rest = ledger.rss;
  for (size_t i = 0; i < std::min(order.size(), kNamed); ++i) {
    const auto account = static_cast<Account>(order[i]);
    text += (i == 0 ? " " : " + ") + std::string(to_string(account)) + " " +
            human_bytes(ledger.bytes[order[i]], style);
    rest -= ledger.bytes[order[i]];
  }
  if (rest != 0)
    text += " + other " + human_bytes(rest, style);
  return text;
}

std::string verdict(const LedgerAnswer& answer, const TextStyle& style) {
  const Ledger& ledger = answer.ledger;
  std::string out = wrapped(
      "RSS " + human_bytes(ledger.rss, style) + " " + sum_of_accounts(answer, style) + ".", "", "", style);
  const uint64_t waste = ledger.of(Account::stranded) + ledger.of(Account::trimmable);
  if (waste * 10 > ledger.rss)
    out += wrapped(share(waste, answer) + " of it is free memory that the allocator holds: " +
                       human_bytes(ledger.of(Account::trimmable), style) +
                       " could be given back (nothing live on its pages), " +
                       human_bytes(ledger.of(Account::stranded), style) +
                       " is kept by live blocks beside it (heapledger fragmentation says which).",
                   "", "", style);
  return out;
}

// Each account's bar begins where the one before it ended.
std::string waterfall(const LedgerAnswer& answer, const TextStyle& style) {
  const Ledger& ledger = answer.ledger;
  const std::string full = style.unicode ? "█" : "#", sliver = style.unicode ? "▏" : ".";
  const size_t bar = style.width > 72 ? std::min<size_t>(style.width - 70, 40) : 0;
  const auto column = [&](uint64_t bytes) {
    return ledger.rss == 0
               ? size_t{0}
               : static_cast<size_t>(std::lround(static_cast<double>(bytes) /
                                                 static_cast<double>(ledger.rss) * static_cast<double>(bar)));
  };
  std::string out = rule("Resident memory", human_bytes(ledger.rss, style), style);
  uint64_t before = 0;
  for (size_t i = 0; i < kAccounts; ++i) {
    const uint64_t bytes = ledger.bytes[i];
    const auto account = static_cast<Account>(i);
    if (bytes == 0 && account != Account::unknown)
      continue;
    const size_t from = column(before), to = column(before + bytes);
    std::string drawn(bar == 0 ? 0 : from, ' ');
    for (size_t c = from; c < to; ++c)
      drawn += full;
    if (from == to && bytes != 0 && from < bar)
      drawn += sliver;
    out += "  " + pad_right(std::string(to_string(account)), 11) +
           pad_left(style.bold(human_bytes(bytes, style)), 11) + pad_left(share(bytes, answer), 8) + "  " +
           (bar == 0 ? "" : pad_right(drawn, bar) + "  ") +
           style.dim(fit(describe(account), style.width - std::min(style.width, 36 + bar), style)) + "\n";
    before += bytes;
  }
  return out;
}

std::string beside(const LedgerAnswer& answer, const TextStyle& style) {
  const Ledger& ledger = answer.ledger;
  std::string text;
  const auto add = [&](uint64_t bytes, const std::string& what) {
    if (bytes != 0)
      text += (text.empty() ? "" : "; ") + human_bytes(bytes, style) + " " + what;
  };
  add(ledger.untouched, "of live blocks never touched");
  add(ledger.swapped, "of live blocks swapped out");
  add(ledger.swap, "swapped out in all");
  add(ledger.mapped > ledger.rss ? ledger.mapped - ledger.rss : 0, "mapped without being resident");
  std::string out =
      text.empty() ? "" : wrapped("Not resident, so in no account: " + text + ".", "", "", style);
  if (answer.sample.usage.has(UsageField::page_tables))
    out +=
        wrapped("No RSS either, but charged to the cgroup: " +
                    human_bytes(answer.sample.usage.of(UsageField::page_tables), style) + " of page tables.",
                "", "", style);
  if (ledger.confidence != Confidence::exact)
    out += wrapped("How the heap splits into live, free and the allocator's own: " +
                       std::string(to_string(ledger.confidence)) + " (docs/fragmentation.md).",
                   "", "", style);
  if (ledger.adjusted_bytes != 0)
    out += wrapped(
        human_bytes(ledger.adjusted_bytes, style) +
            " more heap pages were found than the kernel had counted a moment before; they were taken "
            "off the heap's free memory.",
        "", "", style);
  return out;
}

std::string owners_part(const LedgerAnswer& answer, const TextStyle& style) {
  std::string out = rule("Who has it", "", style);
  const size_t shown = answer.heap.top == 0 ? SIZE_MAX : std::min(answer.heap.top, kOwnersShown);
  for (size_t i = 0; i < kAccounts; ++i) {
    const uint64_t bytes = answer.ledger.bytes[i];
    if (bytes == 0 || (answer.heap.top != 0 && bytes * 200 < answer.ledger.rss))
      continue; // below half a percent
    const std::vector<OwnerPlace> places = owner_places(answer.ledger.owners[i], answer.heap);
    for (size_t k = 0; k < std::min(places.size(), shown); ++k) {
      const OwnerPlace& place = places[k];
      const std::string head = "  " +
                               pad_right(k == 0 ? std::string(to_string(static_cast<Account>(i))) : "", 11) +
                               pad_left(human_bytes(place.bytes, style), 11) +
                               pad_left(human_percent(place.bytes, bytes), 8) + "  ";
      const size_t room = style.width - std::min(style.width / 2, display_width(head));
      out += head +
             (place.site != 0 ? frame_label(place.frame, style, room)
                              : fit(printable(place.name), room, style)) +
             "\n";
    }
    if (places.size() > shown) {
      uint64_t rest = 0;
      for (size_t k = shown; k < places.size(); ++k)
        rest += places[k].bytes;
      out += "  " + pad_right("", 11) +
             style.dim(pad_left(human_bytes(rest, style), 11) + pad_left("", 8) + "  " +
                       with_thousands(places.size() - shown) + " more") +
             "\n";
    }
  }
  return out;
}

std::string course_part(const LedgerAnswer& answer, const TextStyle& style) {
  const std::vector<LedgerPoint>& course = answer.course;
  if (course.size() < 2)
    return "";
  // The accounts that changed most.
  std::array<uint64_t, kAccounts> swing{};
  for (size_t i = 0; i < kAccounts; ++i) {
    uint64_t least = UINT64_MAX, most = 0;
    for (const LedgerPoint& point : course) {
      least = std::min(least, point.bytes[i]);
      most = std::max(most, point.bytes[i]);
    }
    swing[i] = most - least;
  }
  std::vector<size_t> columns;
  for (size_t i = 0; i < kAccounts; ++i)
    if (swing[i] != 0)
      columns.push_back(i);
  std::stable_sort(columns.begin(), columns.end(), [&](size_t a, size_t b) { return swing[a] > swing[b]; });
  const size_t room = style.width > 40 ? (style.width - 28) / 13 : 1;
  columns.resize(std::min({columns.size(), room, size_t{5}}));
  std::sort(columns.begin(), columns.end());
  std::string out = rule("Over time", "", style);
  out += "  " + style.dim(pad_left("after", 11) + pad_left("RSS", 13));
  for (const size_t account : columns)
    out += style.dim(pad_left(std::string(to_string(static_cast<Account>(account))), 13));
  out += "\n";
  const size_t rows = std::min(course.size(), kCourseRows);
  for (size_t row = 0; row < rows; ++row) {
    const LedgerPoint& point = course[rows == 1 ? 0 : row * (course.size() - 1) / (rows - 1)];
    out += "  " + pad_left(human_ns(answer.heap.trace.clock().ns(point.ticks)), 11) +
           pad_left(human_bytes(point.rss, style), 13);
    for (const size_t account : columns)
      out += pad_left(human_bytes(point.bytes[account], style), 13);
    out += "\n";
  }
  return out;
}

std::string forecast_text(const LedgerAnswer& answer, const TextStyle& style) {
  const LedgerForecast& f = answer.forecast;
  if (f.limit_bytes == 0)
    return "";
  std::string text = human_bytes(f.used_bytes, style) + " of the " +
                     (f.of_cgroup ? "cgroup's " : "machine's ") + human_bytes(f.limit_bytes, style) +
                     (f.of_cgroup ? " (its limit)" : "") + " in use";
  if (!f.of_cgroup)
    text += " (by everybody; no cgroup limit)";
  if (f.reached_in_ns) {
    const auto per_hour = static_cast<uint64_t>(f.bytes_per_second.estimate * 3600);
    text += "; it grew by " + human_bytes(per_hour, style) + " an hour over the last " +
            human_ns(f.judged_ns) + ": at this pace it is reached in " + human_ns(*f.reached_in_ns);
  }
  return "\n" + wrapped(text + ".", "", "", style);
}

} // namespace

std::vector<OwnerPlace> owner_places(const std::vector<AccountOwner>& owners, const HeapAnswer& heap) {
  std::map<std::string, OwnerPlace> by_name;
  std::map<std::string, uint64_t> most;
  for (const AccountOwner& owner : owners) {
    OwnerPlace fresh;
    std::string key = "name:" + owner.name;
    const StackId stack = owner.site != 0 ? heap.heap.result().site_stacks[owner.site] : 0;
    if (stack != 0) {
      fresh.site = owner.site;
      fresh.frame = heap.resolver.leading_frame(stack);
      key = std::string(fresh.frame.function) + '\n' + std::string(fresh.frame.file) + '\n' +
            std::to_string(fresh.frame.line) + '\n' + std::string(fresh.frame.module);
      if (!owner.name.empty())
        key += '\n' + owner.name;
    }
    fresh.name = owner.name;
    OwnerPlace& place = by_name.try_emplace(key, fresh).first->second;
    place.bytes += owner.bytes;
    if (uint64_t& heaviest = most[key]; owner.bytes > heaviest) {
      heaviest = owner.bytes;
      place.site = fresh.site;
    }
  }
  std::vector<OwnerPlace> places;
  for (auto& [key, place] : by_name)
    places.push_back(std::move(place));
  std::stable_sort(places.begin(), places.end(),
                   [](const OwnerPlace& a, const OwnerPlace& b) { return a.bytes > b.bytes; });
  return places;
}

std::string seen_text(const LedgerAnswer& answer, const TextStyle& style) {
  if (!answer.seen || answer.meanings.empty())
    return "";
  const Meaning& best = answer.meanings.front();
  const uint64_t seen = answer.seen->bytes;
  std::string out = rule("You saw " + human_bytes(seen, style) +
                             (answer.seen->tool.empty() ? "" : " in " + answer.seen->tool),
                         "", style);
  const uint64_t off = best.bytes > seen ? best.bytes - seen : seen - best.bytes;
  std::string text = best.tool + "'s \"" + best.shown + "\" is " + best.means +
                     ". By this sample it would be " + human_bytes(best.bytes, style);
  if (off * 50 <= seen)
    text += ", as you saw";
  else
    text += ": " + human_bytes(off, style) + (best.bytes > seen ? " more" : " less") +
            " than you saw, which was another moment, process or number";
  out += wrapped(text + ".", "  ", "  ", style);
  const auto line = [&](const std::string& sign, uint64_t bytes, const std::string& what) {
    out += "    " + sign + pad_left(human_bytes(bytes, style), 11) + "  " + what + "\n";
  };
  std::array<bool, kAccounts> in{};
  for (const auto& [account, bytes] : best.contains) {
    in[static_cast<size_t>(account)] = true;
    line("+", bytes, std::string(to_string(account)) + ": " + std::string(describe(account)));
  }
  for (const auto& [what, bytes] : best.beyond)
    line("+", bytes, what);
  for (const auto& [what, bytes] : best.less)
    line("-", bytes, what);
  std::string missing;
  uint64_t left_out = 0;
  for (size_t i = 0; i < kAccounts; ++i)
    if (!in[i] && answer.ledger.bytes[i] != 0) {
      missing += (missing.empty() ? "" : ", ") + std::string(to_string(static_cast<Account>(i))) + " " +
                 human_bytes(answer.ledger.bytes[i], style);
      left_out += answer.ledger.bytes[i];
    }
  if (left_out != 0)
    out += wrapped("It leaves out " + human_bytes(left_out, style) + " of the RSS: " + missing + ".", "  ",
                   "  ", style);
  std::string others;
  constexpr size_t kOthers = 4;
  for (size_t i = 1; i < std::min(answer.meanings.size(), kOthers); ++i) {
    const Meaning& other = answer.meanings[i];
    others += (others.empty() ? "" : "; ") + other.tool + "'s \"" + other.shown + "\" " +
              human_bytes(other.bytes, style);
  }
  if (!others.empty())
    out += wrapped("Other numbers that go by that name: " + others + ".", "  ", "  ", style);
  return out;
}

std::string ledger_line(const LedgerAnswer& answer, uint64_t most_rss, const TextStyle& style) {
  const uint64_t rss = answer.ledger.rss;
  const std::string accounts = sum_of_accounts(answer, style) + "\n";
  if (most_rss - std::min(most_rss, rss) <= rss / 8)
    return "RSS " + human_bytes(rss, style) + " at most " + accounts;
  return "RSS " + human_bytes(most_rss, style) + " at most; when it was " + human_bytes(rss, style) +
         ", that " + accounts;
}

std::string ledger_text(const LedgerAnswer& answer, const TextStyle& style) {
  std::string out = headline(answer.heap, style);
  out += verdict(answer, style);
  out += warning_line(answer.heap, style);
  out += wrapped(sampled_text(answer), "", "", style);
  out += largest_sentence(answer, style);
  out += seen_text(answer, style);
  out += waterfall(answer, style);
  out += beside(answer, style);
  out += owners_part(answer, style);
  out += course_part(answer, style);
  out += forecast_text(answer, style);
  return out;
}

} // namespace hl
