// See profile_builder.h.
#include "diff/profile_builder.h"

#include <algorithm>
#include <map>
#include <unordered_map>

#include "analyses/leak_report.h"
#include "analyses/memory_metrics.h"
#include "analyses/memory_moment.h"
#include "fragmentation/stranded_sites.h"
#include "reader/leak_scan.h"
#include "reader/memory_samples.h"
#include "symbols/module_files.h"

namespace hl {
namespace {

// Definite losses by site of the replay.
struct Losses {
  bool known = false;
  std::vector<BlockSum> by_site;
};

std::optional<LeakScan> scan_of(const Trace& trace, const Moment& moment) {
  const std::vector<LeakScan> scans = list_leak_scans(trace);
  const auto chosen = choose_scan(scans, trace, moment);
  if (!chosen || !scans[*chosen].scanned())
    return {};
  return load_leak_scan(trace, scans[*chosen]);
}

void count_losses(const LeakScan& scan, const Replay& replay, Losses& losses) {
  losses.known = true;
  losses.by_site.assign(replay.result().sites.size(), {});
  for (size_t i = 0; i < scan.addresses.size(); ++i) {
    if (scan.classes[i] != LeakClass::definite)
      continue;
    if (const LiveBlock* block = replay.live().find(scan.addresses[i]))
      losses.by_site[block->site].add(block->size);
  }
}

// The heap at the moment, and what was seen on the way there.
struct ReplayedRun {
  HeapReplay heap;
  Losses losses;
  std::optional<std::vector<uint64_t>> stranded; // by site
};

// One replay: the blocks of the scan and of the sample of memory, which lie before the moment as a rule, are
// looked at as they stood then.
ReplayedRun replay_run(const Trace& trace, const ReplayLimits& limits, const ProfileRequest& request) {
  ReplayedRun run;
  const std::optional<LeakScan> scan = scan_of(trace, request.moment);
  const std::vector<ResidencySample> samples = list_residency_samples(trace);
  const std::optional<size_t> sample = sample_for(samples, request.moment, limits);
  ReplayOptions options = stranded_options(trace);
  const auto look_at_sample = [&](const ResidencySample& listed, const Replay& replay) {
    if (const auto whole = load_residency_sample(trace, listed))
      run.stranded = stranded_by_site(trace, *whole, replay);
  };
  // A mark's own sample comes right behind it.
  const bool on_the_way = sample && samples[*sample].ticks <= limits.last_ticks;
  std::vector<std::pair<uint64_t, bool>> stops; // ticks; whether it is the scan
  if (scan)
    stops.emplace_back(scan->facts.ticks, true);
  if (on_the_way)
    stops.emplace_back(samples[*sample].ticks, false);
  std::sort(stops.begin(), stops.end());
  for (const auto& stop : stops)
    options.stops.push_back(stop.first);
  options.at_stop = [&](size_t stop, const Replay& replay) {
    if (stops[stop].second)
      count_losses(*scan, replay, run.losses);
    else
      look_at_sample(samples[*sample], replay);
  };
  run.heap = replay_heap(trace, limits, request.progress, std::move(options));
  if (sample && !on_the_way) {
    ReplayOptions again = stranded_options(trace);
    again.stops = {samples[*sample].ticks};
    again.at_stop = [&](size_t, const Replay& replay) { look_at_sample(samples[*sample], replay); };
    replay_heap(trace, {.last_ticks = samples[*sample].ticks}, request.progress, std::move(again));
  }
  run.losses.by_site.resize(run.heap.result().sites.size());
  return run;
}

// Builds the profile's tables: interned texts, frames, the tree of logical frames.
class Tables {
 public:
  Tables(const Trace& trace, const StackResolver& resolver, RunProfile& profile)
      : trace_(trace), resolver_(resolver), profile_(profile), node_of_stack_(trace.nodes().size(), 0) {
    strings_.emplace("", 0);
    for (const TraceModule& module : trace.modules().all()) {
      if (module.id == 0)
        continue;
      ModuleFacts& facts = modules_[module.path];
      facts.is_main = facts.is_main || module.is_main;
      facts.build_id = &module.build_id;
    }
  }

  uint32_t node_of(StackId stack) {
    const NodeTable& nodes = trace_.nodes();
    path_.clear();
    StackId id = stack;
    for (; id != 0 && node_of_stack_[id] == 0; id = nodes[id].parent) {
      path_.push_back(id);
      if (!nodes.defined(id))
        break;
    }
    uint32_t node = 0;
    if (id != 0 && node_of_stack_[id] != 0)
      node = node_of_stack_[id];
    for (size_t i = path_.size(); i-- > 0;) {
      const std::span<const ResolvedFrame> frames = resolver_.frames_of_node(path_[i]);
      for (size_t f = frames.size(); f-- > 0;)
        node = child(node, frame_of(frames[f]));
      node_of_stack_[path_[i]] = node;
    }
    return node;
  }

 private:
  struct ModuleFacts {
    bool is_main = false;
    const std::vector<uint8_t>* build_id = nullptr;
    uint32_t index = 0;
  };
  struct FrameHash {
    size_t operator()(const ProfileFrame& f) const {
      uint64_t hash = f.function * 0x9e3779b97f4a7c15u;
      hash = (hash ^ f.file) * 0xff51afd7ed558ccdu;
      hash = (hash ^ f.module ^ uint64_t{f.line} << 20 ^ uint64_t{f.flags} << 52) * 0xc4ceb9fe1a85ec53u;
      return static_cast<size_t>(hash ^ hash >> 32);
    }
  };

  uint32_t text(std::string_view value) {
    const auto [found, is_new] = strings_.try_emplace(value, static_cast<uint32_t>(profile_.strings.size()));
    if (is_new)
      profile_.strings.emplace_back(value);
    return found->second;
  }

  uint32_t module_of(std::string_view path) {
    if (path.empty())
      return 0;
    ModuleFacts& facts = modules_[path];
    if (facts.index == 0) {
      ProfileModule module{std::string(path), {}, facts.is_main};
      if (facts.build_id != nullptr)
        module.build_id = build_id_text(*facts.build_id);
      facts.index = static_cast<uint32_t>(profile_.modules.size());
      profile_.modules.push_back(std::move(module));
    }
    return facts.index;
  }

  uint32_t frame_of(const ResolvedFrame& resolved) {
    ProfileFrame frame;
    frame.function = text(resolved.function);
    frame.file = text(resolved.file);
    frame.module = module_of(resolved.module);
    frame.line = resolved.line;
    frame.flags =
        static_cast<uint8_t>((resolved.inlined ? kFrameInlined : 0) | (resolved.guessed ? kFrameGuessed : 0) |
                             (resolved.marker ? kFrameMarker : 0));
    if (resolved.frame_class == FrameClass::kAllocator)
      frame.flags |= kFrameAllocator;
    if (resolved.frame_class == FrameClass::kRuntime)
      frame.flags |= kFrameRuntime;
    if (resolved.frame_class == FrameClass::kLibrary)
      frame.flags |= kFrameLibrary;
    const auto [found, is_new] = frames_.try_emplace(frame, static_cast<uint32_t>(profile_.frames.size()));
    if (is_new)
      profile_.frames.push_back(frame);
    return found->second;
  }

  uint32_t child(uint32_t parent, uint32_t frame) {
    const auto [found, is_new] =
        children_.try_emplace(uint64_t{parent} << 32 | frame, static_cast<uint32_t>(profile_.nodes.size()));
    if (is_new)
      profile_.nodes.push_back({parent, frame});
    return found->second;
  }

  const Trace& trace_;
  const StackResolver& resolver_;
  RunProfile& profile_;
  std::vector<uint32_t> node_of_stack_; // 0: not yet
  std::vector<StackId> path_;
  std::unordered_map<std::string_view, uint32_t> strings_; // texts live in the resolver
  std::unordered_map<std::string_view, ModuleFacts> modules_;
  std::unordered_map<ProfileFrame, uint32_t, FrameHash> frames_;
  std::unordered_map<uint64_t, uint32_t> children_;
};

void identify(const Trace& trace, const ReplayResult& result, const Moment& moment, RunProfile& profile) {
  const TraceMetadata& metadata = trace.metadata();
  profile.uuid = to_text(metadata.uuid);
  profile.pid = metadata.header.pid;
  profile.executable = metadata.executable;
  profile.host = metadata.host;
  for (const std::string& argument : metadata.arguments)
    profile.command += (profile.command.empty() ? "" : " ") + argument;
  if (profile.command.empty())
    profile.command = metadata.executable;
  profile.started_realtime_ns = trace.clock().wall_ns(trace.clock().start_ticks());
  profile.duration_ns = result.last_ticks == 0 ? 0 : trace.clock().ns(result.last_ticks);
  profile.moment = moment.text;
  profile.complete = trace.complete();
  std::map<std::string, uint64_t> marks;
  for (const ReplayResult::Mark& mark : result.marks)
    ++marks[mark.name];
  for (const auto& [name, count] : marks)
    profile.marks.push_back({name, count});
}

void set_totals(const Trace& trace, const ReplayResult& result, bool whole_run, RunProfile& profile) {
  const auto set = [&](ProfileMetric metric, uint64_t value) {
    profile.totals[metric] = value;
    profile.of_run.add(metric);
    if (facts(metric).of_sites)
      profile.of_sites.add(metric);
  };
  using enum ProfileMetric;
  set(allocation_calls, result.allocation_calls);
  set(bytes_requested, result.bytes_requested);
  set(peak_bytes, result.peak_bytes);
  set(peak_blocks, result.peak_blocks);
  set(exit_bytes, result.live_bytes);
  set(exit_blocks, result.live_blocks);
  set(temporary_allocations, result.temporary);
  set(free_calls, result.free_calls);
  const std::vector<UsageSample> readings = memory_readings(trace);
  if (const auto rss = most_resident_bytes(trace, readings); whole_run && rss)
    set(peak_rss_bytes, *rss);
  if (const auto rss = rss_at_peak(trace, result, readings))
    set(rss_at_peak_bytes, *rss);
}

} // namespace

std::optional<RunProfile> build_profile(const Trace& trace, const ProfileRequest& request, std::string& why) {
  const auto limits = resolve_moment(trace, request.moment, why);
  if (!limits)
    return {};
  const ReplayedRun run = replay_run(trace, *limits, request);
  const Losses& losses = run.losses;
  const ReplayResult& result = run.heap.result();

  RunProfile profile;
  identify(trace, result, request.moment, profile);
  set_totals(trace, result, request.moment.kind == Moment::Kind::exit, profile);
  profile.lost_events = run.heap.lost.total();

  StackResolver resolver(trace, request.symbols);
  resolver.resolve(allocating_stacks(result));
  for (const ModuleTrouble& trouble : resolver.troubles())
    if (trouble.status != ModuleStatus::kPseudo && !is_system_module(trouble.path))
      profile.troubles.push_back("Names in " + trouble.path + ": " + trouble.reason + ".");

  SuppressedSite suppressed;
  if (losses.known) {
    profile.scanned = true;
    for (const ProfileMetric metric : {ProfileMetric::definite_bytes, ProfileMetric::definite_blocks}) {
      profile.of_run.add(metric);
      profile.of_sites.add(metric);
    }
    if (request.suppressed)
      suppressed = request.suppressed(trace, result, resolver);
  }

  if (run.stranded) {
    profile.of_run.add(ProfileMetric::stranded_bytes);
    profile.of_sites.add(ProfileMetric::stranded_bytes);
  }

  Tables tables(trace, resolver, profile);
  std::unordered_map<uint32_t, uint32_t> site_of_node;
  for (uint32_t i = 0; i < result.sites.size(); ++i) {
    const SiteTotals& totals = result.sites[i];
    if (totals.allocation_calls == 0)
      continue;
    ProfileSite site;
    site.node = result.site_stacks[i] == 0 ? 0 : tables.node_of(result.site_stacks[i]);
    using enum ProfileMetric;
    site.metrics[allocation_calls] = totals.allocation_calls;
    site.metrics[bytes_requested] = totals.bytes_requested;
    site.metrics[peak_bytes] = totals.peak_bytes;
    site.metrics[peak_blocks] = totals.peak_blocks;
    site.metrics[exit_bytes] = totals.live_bytes;
    site.metrics[exit_blocks] = totals.live_blocks;
    site.metrics[temporary_allocations] = totals.temporary;
    if (losses.known && losses.by_site[i].blocks != 0 && !(suppressed && suppressed(i))) {
      site.metrics[definite_bytes] = losses.by_site[i].bytes;
      site.metrics[definite_blocks] = losses.by_site[i].blocks;
      profile.totals[definite_bytes] += losses.by_site[i].bytes;
      profile.totals[definite_blocks] += losses.by_site[i].blocks;
    }
    if (run.stranded && i < run.stranded->size()) {
      site.metrics[stranded_bytes] = (*run.stranded)[i];
      profile.totals[stranded_bytes] += (*run.stranded)[i];
    }
    // Calls of one line from two places in its code are one site.
    const auto [found, is_new] =
        site_of_node.try_emplace(site.node, static_cast<uint32_t>(profile.sites.size()));
    if (is_new)
      profile.sites.push_back(site);
    else
      profile.sites[found->second].metrics.add(site.metrics);
  }
  return profile;
}

RunProfile profile_of_stacks(const Trace& trace, const SymbolizerOptions& symbols, ProfileMetric metric,
                             const std::vector<std::pair<StackId, uint64_t>>& amounts) {
  RunProfile profile;
  profile.of_run.add(metric);
  profile.of_sites.add(metric);
  std::vector<StackId> stacks;
  for (const auto& [stack, amount] : amounts)
    if (stack != 0)
      stacks.push_back(stack);
  StackResolver resolver(trace, symbols);
  resolver.resolve(stacks);
  Tables tables(trace, resolver, profile);
  for (const auto& [stack, amount] : amounts) {
    ProfileSite site;
    site.node = stack == 0 ? 0 : tables.node_of(stack);
    site.metrics[metric] = amount;
    profile.totals[metric] += amount;
    profile.sites.push_back(site);
  }
  return profile;
}

} // namespace hl
