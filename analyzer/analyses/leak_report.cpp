// See leak_report.h.
#include "analyses/leak_report.h"

#include <algorithm>
#include <tuple>
#include <unordered_map>

namespace hl {

std::string_view to_string(LeakClass leak_class) {
  switch (leak_class) {
  case LeakClass::definite:
    return "definite";
  case LeakClass::indirect:
    return "indirect";
  case LeakClass::possible:
    return "possible";
  case LeakClass::reachable:
    return "reachable";
  case LeakClass::unknown:
    break;
  }
  return "not_freed";
}

namespace {

constexpr uint32_t kNoSite = UINT32_MAX;

// What stands first in a list of things to mend.
int urgency(LeakClass leak_class) {
  switch (leak_class) {
  case LeakClass::definite:
    return 0;
  case LeakClass::possible:
    return 1;
  case LeakClass::unknown:
    return 2;
  case LeakClass::indirect:
    return 3;
  case LeakClass::reachable:
    return 4;
  }
  return 5;
}

class Maker {
 public:
  Maker(const Replay& replay, const LeakScan* scan, RootNames& roots, const RuleOf& rule_of)
      : replay_(replay), scan_(scan), roots_(roots), ask_(rule_of) {
    for (auto& of_class : index_)
      of_class.assign(replay.result().sites.size(), kNoSite);
  }

  LeakReport run() {
    if (scan_ == nullptr) {
      replay_.live().for_each([&](const LiveBlock& block) {
        if (!suppress(block, rule_of(LeakClass::unknown, block.site)))
          count(block, LeakClass::unknown);
      });
    } else {
      join();
      attribute_indirect();
      find_holders();
    }
    std::sort(report_.sites.begin(), report_.sites.end(), [](const LeakSite& a, const LeakSite& b) {
      const auto rank = [](const LeakSite& s) {
        return std::tuple(-urgency(s.leak_class), s.sum.bytes + s.with.bytes, s.sum.blocks, ~s.site);
      };
      return rank(a) > rank(b);
    });
    return std::move(report_);
  }

 private:
  bool suppress(const LiveBlock& block, std::optional<size_t> rule) {
    if (!rule)
      return false;
    report_.suppressed.add(block.size);
    report_.suppressed_by[*rule].add(block.size);
    return true;
  }

  std::optional<size_t> rule_of(LeakClass leak_class, uint32_t site) {
    if (!ask_)
      return std::nullopt;
    const auto [known, fresh] = rules_.try_emplace(uint64_t{static_cast<uint8_t>(leak_class)} << 32 | site);
    if (fresh)
      known->second = ask_(leak_class, site);
    return known->second;
  }

  // The rule for a block of the scan: its own, or that of the lost block it goes with.
  std::optional<size_t> rule_of_block(size_t block, const LiveBlock& live) {
    const LeakClass leak_class = scan_->classes[block];
    if (const auto rule = rule_of(leak_class, live.site))
      return rule;
    const uint64_t holder = scan_->holders[block];
    if (leak_class != LeakClass::indirect || holder == LeakScan::kNoHolder || LeakScan::is_root(holder))
      return std::nullopt;
    const LiveBlock* const leader = replay_.live().find(scan_->addresses[LeakScan::block_of(holder)]);
    return leader == nullptr ? std::nullopt : rule_of(LeakClass::definite, leader->site);
  }

  LeakSite& count(const LiveBlock& block, LeakClass leak_class) {
    report_.totals[static_cast<size_t>(leak_class)].add(block.size);
    uint32_t& index = index_[static_cast<size_t>(leak_class)][block.site];
    if (index == kNoSite) {
      index = static_cast<uint32_t>(report_.sites.size());
      report_.sites.push_back({});
      report_.sites.back().leak_class = leak_class;
      report_.sites.back().site = block.site;
    }
    LeakSite& site = report_.sites[index];
    site.sum.add(block.size);
    if (block.birth_ticks < site.oldest_ticks ||
        (block.birth_ticks == site.oldest_ticks && block.address < site.example_address)) {
      site.oldest_ticks = block.birth_ticks;
      site.example_address = block.address;
      site.example_bytes = block.size;
    }
    site.youngest_ticks = std::max(site.youngest_ticks, block.birth_ticks);
    if (std::find(site.threads.begin(), site.threads.end(), block.thread) == site.threads.end()) {
      if (site.threads.size() < LeakSite::kMaxThreads)
        site.threads.push_back(block.thread);
      else
        site.more_threads = true;
    }
    return site;
  }

  void join() {
    sites_.assign(scan_->addresses.size(), kNoSite);
    sizes_.assign(scan_->addresses.size(), 0);
    const LiveTable& live = replay_.live();
    for (size_t i = 0; i < scan_->addresses.size(); ++i) {
      const LiveBlock* const block = live.find(scan_->addresses[i]);
      if (block == nullptr) {
        ++report_.unknown_to_replay;
        continue;
      }
      if (suppress(*block, rule_of_block(i, *block)))
        continue; // sites_ does not know it: whoever is held through it is still held by its root
      sites_[i] = block->site;
      sizes_[i] = block->size;
      count(*block, scan_->classes[i]);
    }
    const uint64_t joined = scan_->addresses.size() - report_.unknown_to_replay;
    report_.unknown_to_scan = live.size() > joined ? live.size() - joined : 0;
    if (report_.unknown_to_scan == 0)
      return;
    live.for_each([&](const LiveBlock& block) {
      if (!std::binary_search(scan_->addresses.begin(), scan_->addresses.end(), block.address))
        count(block, LeakClass::unknown);
    });
  }

  LeakSite* entry(size_t block) {
    const uint32_t site = sites_[block];
    if (site == kNoSite)
      return nullptr;
    return &report_.sites[index_[static_cast<size_t>(scan_->classes[block])][site]];
  }

  void attribute_indirect() {
    for (size_t i = 0; i < sites_.size(); ++i) {
      const uint64_t holder = scan_->holders[i];
      if (scan_->classes[i] != LeakClass::indirect || sites_[i] == kNoSite || holder == LeakScan::kNoHolder ||
          LeakScan::is_root(holder))
        continue;
      const size_t leader = LeakScan::block_of(holder);
      if (LeakSite* const with = entry(leader);
          with != nullptr && scan_->classes[leader] == LeakClass::definite)
        with->with.add(sizes_[i]);
    }
  }

  // Of reachable and possible blocks: the root at the end of each one's chain of holders.
  void find_holders() {
    constexpr uint32_t kUnknown = UINT32_MAX, kNone = UINT32_MAX - 1, kUnderWay = UINT32_MAX - 2;
    std::vector<uint32_t> root_of(sites_.size(), kUnknown);
    std::vector<size_t> way;
    for (size_t i = 0; i < sites_.size(); ++i) {
      size_t at = i;
      uint32_t root = kNone;
      way.clear();
      for (;;) {
        if (root_of[at] != kUnknown) {
          root = root_of[at] == kUnderWay ? kNone : root_of[at]; // a circle: damage
          break;
        }
        root_of[at] = kUnderWay;
        way.push_back(at);
        const uint64_t holder = scan_->holders[at];
        if (holder == LeakScan::kNoHolder)
          break;
        if (LeakScan::is_root(holder)) {
          root = static_cast<uint32_t>(LeakScan::root_of(holder));
          break;
        }
        at = LeakScan::block_of(holder);
      }
      for (const size_t passed : way)
        root_of[passed] = root;
    }
    // Roots by their names; what holds most of a site's bytes is what a reader wants to hear of.
    std::vector<uint32_t> name_of(scan_->roots.size(), kUnknown);
    std::unordered_map<std::string, uint32_t> names;
    std::unordered_map<uint64_t, BlockSum> held; // by entry and name
    const auto is_held = [&](size_t i) {
      const LeakClass c = scan_->classes[i];
      return sites_[i] != kNoSite && (c == LeakClass::reachable || c == LeakClass::possible) &&
             root_of[i] < kUnderWay;
    };
    const auto key_of = [&](size_t i) {
      uint32_t& name = name_of[root_of[i]];
      if (name == kUnknown)
        name = names.try_emplace(roots_.name(scan_->roots[root_of[i]]), static_cast<uint32_t>(names.size()))
                   .first->second;
      const uint32_t index = index_[static_cast<size_t>(scan_->classes[i])][sites_[i]];
      return uint64_t{index} << 32 | name;
    };
    for (size_t i = 0; i < sites_.size(); ++i)
      if (is_held(i))
        held[key_of(i)].add(sizes_[i]);
    std::vector<uint64_t> best(report_.sites.size(), UINT64_MAX);
    for (const auto& [key, sum] : held) {
      LeakSite& site = report_.sites[key >> 32];
      if (std::tuple(sum.bytes, sum.blocks, ~key) >
          std::tuple(site.held_so.bytes, site.held_so.blocks, ~best[key >> 32])) {
        site.held_so = sum;
        best[key >> 32] = key;
      }
    }
    for (size_t i = 0; i < sites_.size(); ++i) {
      if (!is_held(i))
        continue;
      LeakSite& site = *entry(i);
      if (!site.held.root.empty() || best[static_cast<size_t>(&site - report_.sites.data())] != key_of(i))
        continue;
      site.held.root = roots_.name(scan_->roots[root_of[i]]);
      follow(i, site.held);
    }
  }

  void follow(size_t block, HoldingPath& path) {
    constexpr size_t kMostSteps = 12;
    std::vector<HoldingPath::Step> back;
    for (size_t steps = 0; steps < sites_.size(); ++steps) {
      const uint64_t holder = scan_->holders[block];
      if (holder == LeakScan::kNoHolder || LeakScan::is_root(holder))
        break;
      block = LeakScan::block_of(holder);
      if (!back.empty() && back.back().site == sites_[block])
        ++back.back().blocks;
      else if (sites_[block] != kNoSite)
        back.push_back({sites_[block], 1});
    }
    std::reverse(back.begin(), back.end());
    if (back.size() > kMostSteps) {
      for (size_t i = kMostSteps / 2; i < back.size() - kMostSteps / 2; ++i)
        path.left_out += back[i].blocks;
      back.erase(back.begin() + kMostSteps / 2, back.end() - kMostSteps / 2);
    }
    path.steps = std::move(back);
  }

  const Replay& replay_;
  const LeakScan* scan_;
  RootNames& roots_;
  const RuleOf& ask_;
  std::unordered_map<uint64_t, std::optional<size_t>> rules_; // asked for: by class and site
  LeakReport report_;
  std::array<std::vector<uint32_t>, kLeakClasses> index_; // by class and site: entry of report_.sites
  std::vector<uint32_t> sites_;                           // by block of the scan
  std::vector<uint64_t> sizes_;
};

} // namespace

LeakReport make_leak_report(const Replay& replay, const LeakScan* scan, const std::string& reason,
                            RootNames& roots, const RuleOf& rule_of) {
  const bool scanned = scan != nullptr && scan->scanned();
  LeakReport report = Maker(replay, scanned ? scan : nullptr, roots, rule_of).run();
  report.scanned = scanned;
  if (!scanned)
    report.reason = scan != nullptr && !scan->reason.empty() ? scan->reason : reason;
  return report;
}

std::vector<LeakGroup> group_leaks(const LeakReport& report, const std::vector<SiteGroup>& groups) {
  std::unordered_map<uint32_t, uint32_t> group_of_site;
  for (uint32_t g = 0; g < groups.size(); ++g)
    for (const uint32_t site : groups[g].sites)
      group_of_site.emplace(site, g);
  std::vector<LeakGroup> out;
  std::unordered_map<uint64_t, size_t> place;
  for (const LeakSite& site : report.sites) {
    const auto group = group_of_site.find(site.site);
    if (group == group_of_site.end())
      continue;
    const uint64_t key = uint64_t{group->second} << 8 | static_cast<uint8_t>(site.leak_class);
    const auto [at, fresh] = place.try_emplace(key, out.size());
    if (fresh) {
      out.push_back({});
      out.back().leak_class = site.leak_class;
      out.back().place = &groups[group->second];
    }
    LeakGroup& g = out[at->second];
    g.sum.add(site.sum);
    g.with.add(site.with);
    g.oldest_ticks = std::min(g.oldest_ticks, site.oldest_ticks);
    g.youngest_ticks = std::max(g.youngest_ticks, site.youngest_ticks);
    g.sites.push_back(&site); // sorted already
  }
  std::stable_sort(out.begin(), out.end(), [](const LeakGroup& a, const LeakGroup& b) {
    const auto rank = [](const LeakGroup& g) {
      return std::tuple(-urgency(g.leak_class), g.bytes(), g.sum.blocks);
    };
    return rank(a) > rank(b);
  });
  return out;
}

std::optional<size_t> choose_scan(const std::vector<LeakScan>& scans, const Trace& trace,
                                  const Moment& moment) {
  if (scans.empty())
    return std::nullopt;
  if (moment.kind == Moment::Kind::exit)
    return scans.size() - 1;
  std::string why;
  const auto limits = moment.kind == Moment::Kind::mark ? std::nullopt : resolve_moment(trace, moment, why);
  for (size_t i = scans.size(); i-- > 0;)
    if (moment.kind == Moment::Kind::mark ? scans[i].name == moment.mark
                                          : limits && scans[i].facts.ticks <= limits->last_ticks)
      return i;
  return std::nullopt;
}

std::vector<Metric> leak_metrics(const LeakReport& report, std::vector<Metric> metrics) {
  const auto add = [&](std::string name, uint64_t value, MetricUnit unit, std::string meaning, bool known) {
    metrics.push_back(
        {std::move(name), known ? std::optional(value) : std::nullopt, unit, std::move(meaning)});
  };
  static constexpr std::pair<LeakClass, const char*> kMeanings[] = {
      {LeakClass::definite, "lost: nothing points to it"},
      {LeakClass::indirect, "lost with definitely lost blocks, which alone lead to it"},
      {LeakClass::possible, "only pointers into its middle"},
      {LeakClass::reachable, "still reachable"}};
  for (const auto& [leak_class, meaning] : kMeanings) {
    const std::string name(to_string(leak_class));
    add(name + ".bytes", report.of(leak_class).bytes, MetricUnit::bytes, meaning, report.scanned);
    add(name + ".blocks", report.of(leak_class).blocks, MetricUnit::count, meaning, report.scanned);
  }
  return metrics;
}

std::string why_not_scanned(const Trace& trace) {
  if (trace.running())
    return "the program is still running; 'heapledger snapshot " +
           std::to_string(trace.metadata().header.pid) + " --leaks' scans it now";
  const TraceMetadata& metadata = trace.metadata();
  if (metadata.has_status && metadata.status.how == 3)
    return "the program was replaced by exec, which leaves nothing to scan";
  if (metadata.has_status && metadata.status.how == 2 && metadata.status.code == 9)
    return "the program was killed by SIGKILL, which leaves no moment to scan";
  if (trace.metadata().header.is_root == 0)
    return "child processes are scanned at their end if they live for a second; 'record --leaks=all' scans "
           "all";
  return "no scan was made: recorded with --leaks=none, without a recorder, or by an older heapledger";
}

} // namespace hl
