// `fragmentation` for people: the verdict, what to do, the accounts, who pins, how it came. See
// fragmentation_output.h.
#include <algorithm>
#include <cstdio>

#include "renderers/fragmentation_output.h"
#include "renderers/report_parts.h"
#include "renderers/stack_text.h"

namespace hl {
namespace {

constexpr size_t kCallers = 5;

std::string ratio_text(const std::optional<double>& value) {
  if (!value)
    return "-";
  char text[32];
  std::snprintf(text, sizeof text, "%.2f", *value);
  return text;
}

class FragmentationText {
 public:
  FragmentationText(const FragmentationAnswer& answer, const TextStyle& style)
      : answer_(answer), study_(answer.study), accounts_(answer.study.accounts), style_(style) {}

  std::string all() {
    std::string out = headline(answer_.heap, style_);
    for (const std::string& sentence : verdict())
      out += wrapped(sentence, "", "", style_);
    out += warning_line(answer_.heap, style_);
    if (!answer_.heap.run_note.empty())
      out += wrapped(answer_.heap.run_note, "", "", style_);
    out += style_.dim(wrapped(sample_sentence(answer_, style_), "", "", style_));
    out += what_if() + advice() + waterfall() + occupancy() + places() + over_time() + measures() + slack() +
           arenas() + unknown_part(answer_.heap, style_);
    return out;
  }

 private:
  std::string bytes(uint64_t value) const { return human_bytes(value, style_); }

  uint64_t waste(const AccountBytes& b) const { return b.stranded + b.trimmable + b.top + b.held; }

  std::vector<std::string> verdict() const {
    const AccountBytes& b = accounts_.small.bytes;
    const uint64_t resident = b.resident();
    if (resident == 0)
      return {"No page of the heap is resident."};
    std::vector<std::string> sentences;
    if (!study_.sample) {
      sentences.push_back("Of the pages that live blocks touch, " + bytes(resident) + ", " +
                          bytes(b.stranded) + " (" + human_percent(b.stranded, resident) + ") are free.");
    } else {
      std::string first = bytes(waste(b)) + " of the " + bytes(resident) + " resident heap (" +
                          human_percent(waste(b), resident) + ") hold nothing: ";
      first += bytes(b.stranded) + " stranded on pages that live blocks keep, " + bytes(b.trimmable + b.top) +
               " on empty pages.";
      sentences.push_back(first);
    }
    if (!answer_.places.empty() && b.stranded != 0) {
      const BlamedPlace& place = answer_.places.front();
      const Charge& charge = place.charge;
      if (charge.stranded_bytes() * 10 >= b.stranded)
        sentences.push_back(plural(charge.survivors, "block") + " (" + bytes(charge.survivor_bytes) +
                            ") of " + place_text(place.group, style_) +
                            (charge.survivors == 1 ? " keeps " : " keep ") +
                            human_percent(charge.stranded_bytes(), b.stranded) + " of what is stranded.");
      else
        sentences.push_back("No place alone keeps a tenth of what is stranded.");
    }
    if (const std::string cost = cost_at_peak(); !cost.empty())
      sentences.push_back(cost);
    return sentences;
  }

  // Only waste at the greatest footprint costs memory.
  std::string cost_at_peak() const {
    if (study_.points.size() < 2)
      return "";
    const HeapPoint& peak = study_.points[study_.measures.peak_footprint_point];
    const uint64_t most_live = study_.heap.result().peak_bytes;
    if (peak.footprint_bytes == 0 || !study_.measures.peak_over_peak)
      return "";
    const std::string sizes = "Its largest footprint, " + bytes(peak.footprint_bytes) + ", is " +
                              ratio_text(study_.measures.peak_over_peak) + " times the most live bytes, " +
                              bytes(most_live) + ": ";
    if (*study_.measures.peak_over_peak < 1.2)
      return sizes + "waste hardly raises the peak; it is what stays behind.";
    return sizes + "the waste costs memory at the peak.";
  }

  std::string advice() const {
    const auto list = fragmentation_advice(answer_, style_);
    if (list.empty())
      return "";
    std::string out = rule("What to do", "", style_);
    for (const FragmentationAdvice& entry : list)
      out += wrapped(entry.text, "  - ", "    ", style_);
    return out;
  }

  void line(std::string& out, std::string_view name, uint64_t small, uint64_t huge,
            bool total = false) const {
    const auto share = [&](uint64_t value, const AccountBytes& of) {
      return pad_left(bytes(value), 14) + pad_left(human_percent(value, of.resident()), 9);
    };
    const std::string text = "  " + pad_right(std::string(name), 40) + share(small, accounts_.small.bytes) +
                             share(huge, accounts_.huge.bytes);
    out += (total ? style_.bold(text) : text) + "\n";
  }

  std::string waterfall() const {
    const AccountBytes &s = accounts_.small.bytes, &h = accounts_.huge.bytes;
    if (s.resident() == 0)
      return "";
    std::string out = rule("The resident heap", plural(accounts_.blocks, "live block"), style_);
    out += style_.dim("  " + pad_right("", 40) +
                      pad_left("by pages of " + bytes(accounts_.small.page_bytes), 23) +
                      pad_left("by 2 MiB", 23)) +
           "\n";
    line(out, "live, as requested", s.requested, h.requested);
    line(out, "slack (usable, not requested)", s.slack, h.slack);
    line(out, "headers and tables of the allocator", s.metadata, h.metadata);
    line(out, "stranded: free, on pages blocks keep", s.stranded, h.stranded);
    if (s.held + h.held != 0)
      line(out, "free, beside the allocator's tables", s.held, h.held);
    line(out, "trimmable: on empty pages", s.trimmable, h.trimmable);
    if (accounts_.allocator == AllocatorKind::glibc)
      line(out, "at the end of heaps (glibc's top)", s.top, h.top);
    line(out, "resident", s.resident(), h.resident(), true);
    if (accounts_.untouched != 0)
      out += "  " + bytes(accounts_.untouched) + " of live blocks were never touched and cost nothing.\n";
    if (accounts_.swapped != 0)
      out += "  " + bytes(accounts_.swapped) + " of live blocks are swapped out.\n";
    if (accounts_.blocks_elsewhere != 0)
      out += "  " + plural(accounts_.blocks_elsewhere, "live block") + " (" +
             bytes(accounts_.bytes_elsewhere) + ") lie in mappings that are not known as the allocator's.\n";
    return out;
  }

  std::string occupancy() const {
    if (accounts_.small.pinned_pages == 0)
      return "";
    std::string out =
        rule("How full the pages are that blocks keep",
             plural(accounts_.small.pinned_pages, "page") + " of " + bytes(accounts_.small.page_bytes) +
                 ", " + with_thousands(accounts_.huge.pinned_pages) + " of 2 MiB",
             style_);
    const size_t column = std::max<size_t>(6, std::min<size_t>(8, (style_.width - 10) / 10));
    std::string heading = "  " + pad_right("live", 7);
    for (int bin = 1; bin <= 10; ++bin)
      heading += pad_left("-" + std::to_string(bin * 10) + " %", column);
    out += style_.dim(heading) + "\n";
    for (const PageGrain* grain : {&accounts_.small, &accounts_.huge}) {
      const TextStyle human{false, style_.unicode, false, style_.width};
      std::string name = human_bytes(grain->page_bytes, human);
      if (const size_t dot = name.find(".0"); dot != std::string::npos)
        name.erase(dot, name.find(' ') - dot);
      out += "  " + pad_right(name, 7);
      for (const uint64_t pages : grain->occupancy)
        out += pad_left(with_thousands(pages), column);
      out += "\n";
    }
    return out;
  }

  std::string ages(const Charge& charge) const {
    const TraceClock& clock = answer_.heap.trace.clock();
    const auto age = [&](uint64_t birth) {
      return human_ns(birth >= study_.ticks ? 0 : clock.ns(study_.ticks) - clock.ns(birth));
    };
    if (charge.survivors == 0)
      return "";
    return charge.survivors == 1
               ? "its age: " + age(charge.oldest_ticks)
               : "their ages: " + age(charge.youngest_ticks) + " to " + age(charge.oldest_ticks);
  }

  std::string maker_text(const HoleMaker& maker) const {
    if (maker.site == kNoHoleMaker)
      return "nothing recorded was there before";
    const StackId stack = answer_.heap.heap.result().site_stacks[maker.site];
    const ResolvedFrame frame = answer_.heap.resolver.leading_frame(stack);
    std::string text = "blocks of " + frame_label(frame, style_, 60);
    if (maker.free_stack != 0)
      text += ", freed by " + frame_label(answer_.heap.resolver.leading_frame(maker.free_stack), style_, 60);
    return text;
  }

  std::string places() const {
    const uint64_t stranded = accounts_.small.bytes.stranded;
    if (answer_.places.empty() || stranded == 0)
      return "";
    std::string out = rule("Who keeps the pages", bytes(stranded) + " stranded", style_);
    const size_t shown =
        answer_.heap.top == 0 ? answer_.places.size() : std::min(answer_.heap.top, answer_.places.size());
    uint64_t listed = 0;
    for (size_t i = 0; i < shown && answer_.places[i].charge.stranded_bytes() != 0; ++i) {
      const BlamedPlace& place = answer_.places[i];
      listed += place.charge.stranded_bytes();
      out += entry(i + 1, place, stranded);
    }
    if (listed < stranded && shown < answer_.places.size())
      out += "  " +
             style_.dim("    " + with_thousands(answer_.places.size() - shown) +
                        " more places keep the other " + bytes(stranded - listed)) +
             "\n";
    return out;
  }

  std::string entry(size_t number, const BlamedPlace& place, uint64_t stranded) const {
    const Charge& charge = place.charge;
    const std::string head =
        list_head(number, bytes(charge.stranded_bytes()), human_percent(charge.stranded_bytes(), stranded),
                  plural(charge.survivors, "block"), style_);
    std::string out =
        head +
        group_label(place.group, style_, style_.width - std::min(style_.width / 2, display_width(head))) +
        "\n";
    std::string text = plural(charge.survivors, "survivor") + " of " + bytes(charge.survivor_bytes) + " on " +
                       plural(charge.pages, "page") + ", " + with_thousands(charge.exclusive_pages) +
                       " kept by " + (charge.survivors == 1 ? "it" : "them") + " alone (" +
                       bytes(charge.exclusive_bytes) + " of the stranded bytes); " + ages(charge) + ".";
    if (charge.given_back() != 0)
      text += " Elsewhere, " + bytes(charge.given_back()) + " would be given back.";
    out += wrapped(text, "        ", "        ", style_);
    uint64_t told = 0;
    for (size_t i = 0; i < std::min<size_t>(charge.makers.size(), 3); ++i) {
      const HoleMaker& maker = charge.makers[i];
      if (maker.bytes * 20 < charge.stranded_bytes())
        break;
      told += maker.bytes;
      out += wrapped((i == 0 ? "The holes: " : "") + bytes(maker.bytes) + " " + maker_text(maker),
                     i == 0 ? "        " : "                   ", "          ", style_);
    }
    if (!answer_.heap.heap.result().site_stacks.empty())
      out += stack_lines(answer_.heap.resolver.frames(answer_.heap.heap.result().site_stacks[place.site]),
                         kCallers, 8, style_);
    if (place.group.sites.size() > 1)
      out +=
          style_.dim("          (the heaviest of " + with_thousands(place.group.sites.size()) + " stacks)") +
          "\n";
    return out;
  }

  std::string over_time() const {
    const auto& points = study_.points;
    if (points.size() < 4)
      return "";
    uint64_t most = 0;
    std::vector<uint64_t> footprint, live;
    for (const HeapPoint& point : points) {
      footprint.push_back(point.footprint_bytes);
      live.push_back(point.live_bytes);
      most = std::max({most, point.footprint_bytes, point.live_bytes});
    }
    std::string out =
        rule("Over time", plural(points.size(), "full sample") + ", " + bytes(most) + " high", style_);
    out += "  resident  " + sparkline(footprint.data(), footprint.size(), most, style_) + "\n";
    out += "  live      " + sparkline(live.data(), live.size(), most, style_) + "\n";
    return out + retention();
  }

  // What stayed after the peak.
  std::string retention() const {
    if (!study_.point || study_.measures.peak_footprint_point >= *study_.point)
      return "";
    const HeapPoint& peak = study_.points[study_.measures.peak_footprint_point];
    const HeapPoint& now = study_.points[*study_.point];
    if (peak.footprint_bytes == 0 || now.live_bytes >= peak.live_bytes)
      return "";
    return wrapped(
        "Since the largest footprint live bytes fell from " + bytes(peak.live_bytes) + " to " +
            bytes(now.live_bytes) + ", the resident heap from " + bytes(peak.footprint_bytes) + " to " +
            bytes(now.footprint_bytes) + ": " +
            bytes(now.footprint_bytes > now.live_bytes ? now.footprint_bytes - now.live_bytes : 0) +
            " are kept beyond what is live.",
        "  ", "  ", style_);
  }

  std::string measures() const {
    if (!study_.sample)
      return "";
    std::string out = rule("In one number", "resident heap / live requested; 1.00 is no waste", style_);
    const Measures& m = study_.measures;
    const auto row = [&](const std::optional<double>& value, std::string_view name) {
      out += "  " + pad_left(ratio_text(value), 8) + "  " + std::string(name) + "\n";
    };
    row(m.average, "averaged over time");
    row(m.at_peak_live, "where most bytes were live");
    row(m.at_peak_footprint, "where the resident heap was largest");
    row(m.peak_over_peak, "largest resident heap / most live bytes, whenever each was");
    if (const auto external = external_fragmentation(accounts_))
      out +=
          "  " +
          pad_left(human_percent(accounts_.free_addresses - accounts_.largest_free, accounts_.free_addresses),
                   8) +
          "  1 - largest / total of the free addresses: how far they are from one piece\n";
    if (study_.points.size() < 2)
      out += style_.dim("  (of one full sample only; record with more to see them over time)") + "\n";
    return out;
  }

  std::string slack() const {
    uint64_t total = 0;
    for (const SlackClass& entry : study_.slack_classes)
      total += entry.slack;
    if (total == 0)
      return "";
    std::string out =
        rule("Slack by usable size", bytes(total) + " usable beyond what was asked for", style_);
    out += style_.dim("  " + pad_left("usable", 22) + pad_left("blocks", 14) + pad_left("requested", 14) +
                      pad_left("slack", 14) + pad_left("of usable", 11)) +
           "\n";
    const size_t count = std::min<size_t>(study_.slack_classes.size(),
                                          answer_.heap.top == 0 ? study_.slack_classes.size() : 5);
    for (size_t i = 0; i < count; ++i) {
      const SlackClass& entry = study_.slack_classes[i];
      const std::string sizes = entry.from_usable == entry.to_usable ? with_thousands(entry.to_usable) + " B"
                                                                     : "up to " + bytes(entry.to_usable);
      out += "  " + pad_left(sizes, 22) + pad_left(with_thousands(entry.blocks), 14) +
             pad_left(bytes(entry.requested), 14) + pad_left(bytes(entry.slack), 14) +
             pad_left(human_percent(entry.slack, entry.requested + entry.slack), 11) + "\n";
    }
    return out;
  }

  std::string arenas() const {
    if (study_.arenas.size() < 2 || !study_.sample)
      return "";
    std::string out = rule("Heaps of glibc", with_thousands(study_.arenas.size()), style_);
    out += style_.dim("  " + pad_right("", 24) + pad_left("resident", 14) + pad_left("live", 14) +
                      pad_left("stranded", 14) + pad_left("empty pages", 14)) +
           "\n";
    std::vector<const ArenaUse*> order;
    for (const ArenaUse& arena : study_.arenas)
      order.push_back(&arena);
    std::stable_sort(order.begin(), order.end(), [](const ArenaUse* a, const ArenaUse* b) {
      return a->bytes.resident() > b->bytes.resident();
    });
    const size_t count = std::min<size_t>(order.size(), answer_.heap.top == 0 ? order.size() : 6);
    for (size_t i = 0; i < count; ++i) {
      char name[32];
      std::snprintf(name, sizeof name, "0x%llx", static_cast<unsigned long long>(order[i]->start));
      const AccountBytes& b = order[i]->bytes;
      out += "  " + pad_right(order[i] == &study_.arenas.front() ? "main heap" : name, 24) +
             pad_left(bytes(b.resident()), 14) + pad_left(bytes(b.requested), 14) +
             pad_left(bytes(b.stranded), 14) + pad_left(bytes(b.trimmable + b.top), 14) + "\n";
    }
    if (count < order.size())
      out += style_.dim("  " + with_thousands(order.size() - count) + " more") + "\n";
    return out;
  }

  std::string what_if() const {
    if (answer_.pattern.empty())
      return "";
    const WhatIf& apart = answer_.apart;
    std::string out = rule("What if the blocks of '" + printable(answer_.pattern) + "' lived apart",
                           plural(apart.blocks, "block") + ", " + bytes(apart.requested) + ", of " +
                               plural(answer_.apart_sites, "site"),
                           style_);
    if (apart.blocks == 0)
      return out + "  No live block's stack has a frame of that name.\n";
    const uint64_t page = accounts_.small.page_bytes;
    out += wrapped(plural(apart.released_bytes / page, "page") + " (" + bytes(apart.released_bytes) +
                       ") would be released, " + with_thousands(apart.room_bytes / page) + " (" +
                       bytes(apart.room_bytes) + ") be needed for them elsewhere.",
                   "  ", "  ", style_);
    out += style_.dim("  " + pad_right("", 30) + pad_left("now", 14) + pad_left("then", 14) +
                      pad_left("now, 2 MiB", 16) + pad_left("then, 2 MiB", 14)) +
           "\n";
    const auto row = [&](std::string_view name, auto value) {
      out += "  " + pad_right(std::string(name), 30) + pad_left(value(accounts_.small), 14) +
             pad_left(value(apart.small), 14) + pad_left(value(accounts_.huge), 16) +
             pad_left(value(apart.huge), 14) + "\n";
    };
    row("resident", [&](const PageGrain& g) { return bytes(g.bytes.resident()); });
    row("stranded", [&](const PageGrain& g) { return bytes(g.bytes.stranded); });
    row("trimmable, top included",
        [&](const PageGrain& g) { return bytes(g.bytes.trimmable + g.bytes.top); });
    row("pages that blocks keep", [](const PageGrain& g) { return with_thousands(g.pinned_pages); });
    return out;
  }

  const FragmentationAnswer& answer_;
  const FragmentationStudy& study_;
  const PageAccounts& accounts_;
  const TextStyle& style_;
};

} // namespace

std::string fragmentation_text(const FragmentationAnswer& answer, const TextStyle& style) {
  return FragmentationText(answer, style).all();
}

} // namespace hl
