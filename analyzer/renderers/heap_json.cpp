// `report --json` and `live --json`: the keys are a contract (docs/json.md), added to, never renamed.
#include <algorithm>
#include <cmath>
#include <tuple>

#include "renderers/describe_trace.h"
#include "renderers/frames_json.h"
#include "renderers/heap_output.h"

namespace hl {
namespace {

struct Sum {
  uint64_t sites = 0;
  SiteNumbers numbers;
};

// Sites by what matters most: at the peak, then at the end, then by calls.
std::vector<uint32_t> ranked_sites(const ReplayResult& result, bool live_only) {
  std::vector<uint32_t> sites;
  for (uint32_t i = 0; i < result.sites.size(); ++i)
    if (live_only ? result.sites[i].live_blocks != 0 : result.sites[i].allocation_calls != 0)
      sites.push_back(i);
  std::sort(sites.begin(), sites.end(), [&](uint32_t a, uint32_t b) {
    const SiteTotals &x = result.sites[a], &y = result.sites[b];
    const auto rank = [live_only](const SiteTotals& site) {
      return std::tuple(live_only ? site.live_bytes : std::max(site.peak_bytes, site.live_bytes),
                        site.allocation_calls);
    };
    if (rank(x) != rank(y))
      return rank(x) > rank(y);
    return a < b;
  });
  return sites;
}

void write_site(const HeapAnswer& answer, uint32_t site, bool live, JsonWriter& json) {
  const SiteNumbers numbers = numbers_of(answer.heap.result(), site);
  json.begin_object();
  if (live) {
    json.member("bytes", numbers.live_bytes).member("blocks", numbers.live_blocks);
  } else {
    json.member("allocation_calls", numbers.allocation_calls)
        .member("bytes_requested", numbers.bytes_requested)
        .member("peak_bytes", numbers.peak_bytes)
        .member("peak_blocks", numbers.peak_blocks)
        .member("exit_bytes", numbers.live_bytes)
        .member("exit_blocks", numbers.live_blocks)
        .member("temporary_allocations", numbers.temporary);
    if (numbers.reallocs != 0)
      json.member("realloc_calls", numbers.reallocs).member("realloc_bytes_copied", numbers.bytes_copied);
    const uint64_t freed = numbers.allocation_calls - std::min(numbers.allocation_calls, numbers.live_blocks);
    if (freed != 0)
      json.member("mean_lifetime_ns",
                  static_cast<uint64_t>(std::min(1.8e19, numbers.lifetime_ticks / static_cast<double>(freed) *
                                                             answer.trace.clock().ns_per_tick())));
  }
  write_frames(answer.resolver.frames(answer.heap.result().site_stacks[site]), json);
  json.end_object();
}

void write_sites(const HeapAnswer& answer, bool live, JsonWriter& json) {
  const ReplayResult& result = answer.heap.result();
  const std::vector<uint32_t> sites = ranked_sites(result, live);
  const size_t shown = answer.top == 0 ? sites.size() : std::min(sites.size(), answer.top);
  json.key("sites").begin_array();
  for (size_t i = 0; i < shown; ++i)
    write_site(answer, sites[i], live, json);
  json.end_array();
  SiteNumbers left_out;
  for (size_t i = shown; i < sites.size(); ++i)
    left_out.add(numbers_of(result, sites[i]));
  json.key("sites_left_out").begin_object().member("sites", uint64_t{sites.size() - shown});
  if (live) {
    json.member("bytes", left_out.live_bytes).member("blocks", left_out.live_blocks);
  } else {
    json.member("allocation_calls", left_out.allocation_calls)
        .member("bytes_requested", left_out.bytes_requested)
        .member("peak_bytes", left_out.peak_bytes)
        .member("exit_bytes", left_out.live_bytes)
        .member("exit_blocks", left_out.live_blocks);
  }
  json.end_object();
}

void write_threads(const HeapAnswer& answer, JsonWriter& json) {
  const ReplayResult& result = answer.heap.result();
  json.key("threads").begin_array();
  for (size_t i = 0; i < result.threads.size(); ++i) {
    const ThreadTotals& thread = result.threads[i];
    if (thread.allocation_calls + thread.free_calls == 0)
      continue;
    json.begin_object()
        .member("thread", uint64_t{i})
        .member("tid", thread.tid)
        .member("name", thread.name)
        .member("allocation_calls", thread.allocation_calls)
        .member("free_calls", thread.free_calls)
        .member("bytes_requested", thread.bytes_requested)
        .member("temporary_allocations", thread.temporary)
        .member("freed_for_other_threads", thread.freed_for_others)
        .member("peak_bytes", thread.peak_bytes)
        .member("exit_bytes", thread.live_bytes)
        .member("exit_blocks", thread.live_blocks)
        .end_object();
  }
  json.end_array();
}

void write_distributions(const HeapAnswer& answer, JsonWriter& json) {
  const ReplayResult& result = answer.heap.result();
  json.key("size_histogram").begin_array();
  for (size_t i = 0; i < std::size(result.size_classes); ++i) {
    const SizeClass& size_class = result.size_classes[i];
    if (size_class.calls == 0)
      continue;
    json.begin_object()
        .member("up_to_bytes", uint64_t{1} << i)
        .member("allocation_calls", size_class.calls)
        .member("bytes_requested", size_class.bytes)
        .member("exit_blocks", size_class.live_blocks)
        .member("exit_bytes", size_class.live_bytes)
        .end_object();
  }
  json.end_array();
  json.key("lifetime_histogram").begin_array();
  for (size_t i = 0; i < std::size(result.lifetimes); ++i) {
    if (result.lifetimes[i] == 0)
      continue;
    const double ticks = std::ldexp(1.0, static_cast<int>(i));
    json.begin_object()
        .member("below_ns",
                static_cast<uint64_t>(std::min(1.8e19, ticks * answer.trace.clock().ns_per_tick())))
        .member("blocks", result.lifetimes[i])
        .end_object();
  }
  json.end_array();
  json.key("reallocation")
      .begin_object()
      .member("calls", result.reallocs.calls)
      .member("moved", result.reallocs.moved)
      .member("bytes_copied", result.reallocs.bytes_copied)
      .member("chains", result.chains)
      .member("longest_chain", result.longest_chain);
  json.key("chain_lengths").begin_array();
  for (size_t i = 1; i < std::size(result.chain_lengths); ++i)
    if (result.chain_lengths[i] != 0)
      json.begin_object()
          .member("from", uint64_t{1} << (i - 1))
          .member("to", (uint64_t{1} << i) - 1)
          .member("chains", result.chain_lengths[i])
          .end_object();
  json.end_array().end_object();
  const TraceClock& clock = answer.trace.clock();
  json.key("timeline").begin_object();
  json.member("bin_ns", static_cast<uint64_t>(std::min(
                            1.8e19, static_cast<double>(result.timeline_bin_ticks) * clock.ns_per_tick())));
  json.key("max_live_bytes").begin_array();
  for (const TimelineBin& bin : result.timeline)
    json.value(bin.max_live_bytes);
  json.end_array().end_object();
}

void write_mappings(const HeapAnswer& answer, JsonWriter& json) {
  const MappingTracker& mappings = answer.heap.result().mappings;
  const MappingTotals& totals = mappings.totals();
  const auto write_use = [&json](const MappingUse& use) {
    json.member("calls", use.calls)
        .member("total_bytes", use.total_bytes)
        .member("max_bytes", use.max_live_bytes)
        .member("exit_bytes", use.live_bytes);
  };
  json.key("mappings")
      .begin_object()
      .member("map_calls", totals.map_calls)
      .member("unmap_calls", totals.unmap_calls)
      .member("remap_calls", totals.remap_calls)
      .member("name_calls", totals.name_calls)
      .member("names_refused_by_kernel", totals.names_refused)
      .member("total_bytes", totals.total_bytes)
      .member("peak_bytes", totals.peak_bytes)
      .member("exit_bytes", totals.mapped_bytes);
  json.key("named").begin_array();
  for (const MappingTracker::Name& name : mappings.by_name()) {
    if (name.name.empty())
      continue;
    json.begin_object().member("name", name.name);
    write_use(name.use);
    json.end_object();
  }
  json.end_array();
  std::vector<std::pair<uint32_t, const MappingUse*>> sites;
  for (const auto& [site, use] : mappings.by_site())
    if (use.max_live_bytes != 0)
      sites.emplace_back(site, &use);
  std::sort(sites.begin(), sites.end(), [](const auto& a, const auto& b) {
    return a.second->max_live_bytes != b.second->max_live_bytes
               ? a.second->max_live_bytes > b.second->max_live_bytes
               : a.first < b.first;
  });
  if (answer.top != 0 && sites.size() > answer.top)
    sites.resize(answer.top);
  json.key("sites").begin_array();
  for (const auto& [site, use] : sites) {
    json.begin_object();
    write_use(*use);
    write_frames(answer.resolver.frames(answer.heap.result().site_stacks[site]), json);
    json.end_object();
  }
  json.end_array().end_object();
}

void write_modules(const HeapAnswer& answer, JsonWriter& json) {
  json.key("modules_without_full_symbols").begin_array();
  for (const ModuleTrouble& trouble : answer.resolver.troubles())
    json.begin_object()
        .member("module", trouble.path)
        .member("reason", trouble.reason)
        .member("frames", trouble.frames)
        .end_object();
  json.end_array();
}

} // namespace

void report_json(const HeapAnswer& answer, JsonWriter& json) {
  const ReplayResult& result = answer.heap.result();
  json.begin_object();
  write_identity(answer, json);
  json.key("totals")
      .begin_object()
      .member("allocation_calls", result.allocation_calls)
      .member("free_calls", result.free_calls)
      .member("bytes_requested", result.bytes_requested)
      .end_object();
  json.key("peak")
      .begin_object()
      .member("bytes", result.peak_bytes)
      .member("blocks", result.peak_blocks)
      .member("time_ns", result.peak_step == 0 ? 0 : answer.trace.clock().ns(result.peak_ticks))
      .end_object();
  json.key("at_exit")
      .begin_object()
      .member("bytes", result.live_bytes)
      .member("blocks", result.live_blocks)
      .end_object();
  json.member("temporary_allocations", result.temporary)
      .member("duration_ns", duration_ns(answer.trace, result.last_ticks))
      .member("unknown_frees", result.unknown_frees)
      .member("missed_frees", result.implicit_frees);
  write_sites(answer, false, json);
  write_threads(answer, json);
  write_distributions(answer, json);
  write_mappings(answer, json);
  write_lost(json, answer.heap.lost);
  write_modules(answer, json);
  write_problems(json, answer.trace);
  json.end_object();
}

void live_json(const HeapAnswer& answer, JsonWriter& json) {
  const ReplayResult& result = answer.heap.result();
  json.begin_object();
  write_identity(answer, json);
  json.member("bytes", result.live_bytes).member("blocks", result.live_blocks);
  write_sites(answer, true, json);
  write_lost(json, answer.heap.lost);
  write_modules(answer, json);
  write_problems(json, answer.trace);
  json.end_object();
}

} // namespace hl
