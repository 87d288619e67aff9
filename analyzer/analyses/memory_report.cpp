// See memory_report.h.
#include "analyses/memory_report.h"

#include <algorithm>

#include "replay/heap_blocks.h"

namespace hl {
namespace {

// A page of page table maps 2 MiB in 4 KiB pages; the levels above are a 512th of it.
uint64_t page_tables(const ResidencySample& sample) {
  const uint64_t span = uint64_t{sample.page_bytes} * (sample.page_bytes / 8);
  uint64_t tables = 0, next = 0; // spans below `next` are counted
  for (const PageRange& run : sample.pages) {
    const uint64_t first = std::max(run.start / span, next), end = (run.end + span - 1) / span;
    if (end > first) {
      tables += end - first;
      next = end;
    }
  }
  return tables * sample.page_bytes;
}

MemorySample facts_of(const ResidencySample& sample, const RegionMap& map) {
  MemorySample facts;
  facts.ticks = sample.ticks;
  facts.end_ticks = sample.end_ticks;
  facts.cause = sample.cause;
  facts.name = sample.name;
  facts.consistent = sample.consistent();
  facts.has_pages = sample.has_pages() && !sample.pages.empty();
  facts.cost_ns = sample.cpu_ns;
  facts.usage = sample.usage;
  facts.total = total_of(map.vmas);
  facts.categories = categories_of(map);
  return facts;
}

void conclude(MemoryReport& report, const ResidencySample& sample, RegionMap map) {
  report.app = app_summary(map.vmas);
  report.apple = apple_words(total_of(map.vmas));
  report.page_tables_counted = sample.usage.has(UsageField::page_tables);
  report.page_table_bytes =
      report.page_tables_counted ? sample.usage.of(UsageField::page_tables) : page_tables(sample);
  report.private_swap_bytes = 0;
  for (const Vma& vma : map.vmas)
    report.private_swap_bytes += vma.shared ? 0 : vma.numbers.swap;
  report.map = std::move(map);
}

} // namespace

std::optional<MemoryReport> report_on_smaps(std::string smaps) {
  ResidencySample sample;
  sample.smaps = std::move(smaps);
  sample.flags = kResidencyNoPages;
  RegionMap map = make_region_map(sample, {});
  if (map.vmas.empty())
    return std::nullopt;
  MemoryReport report;
  report.samples.push_back(facts_of(sample, map));
  conclude(report, sample, std::move(map));
  return report;
}

std::optional<TracedMemory> report_on_trace(const Trace& trace, const SampleChoice& choice,
                                            const ProgressCallback& progress) {
  const std::vector<ResidencySample> listed = list_residency_samples(trace);
  const auto wanted =
      choice.largest ? largest_sample(listed) : sample_for(listed, choice.moment, choice.limits);
  if (!wanted)
    return std::nullopt;
  const std::vector<size_t> chosen = spread_samples(listed, choice.most, wanted);
  TracedMemory traced;
  MemoryReport& report = traced.report;
  uint64_t nearest = UINT64_MAX; // to the one that was wanted, should that be damaged
  traced.heap = replay_samples(
      trace, listed, chosen,
      [&](size_t index, const ResidencySample& sample, const Replay& replay) {
        const std::vector<HeapBlock> blocks = blocks_by_address(replay);
        RegionMap map = make_region_map(sample, region_sources(trace, replay, blocks));
        if (map.vmas.empty())
          return;
        report.samples.push_back(facts_of(sample, map));
        const uint64_t away = index > *wanted ? index - *wanted : *wanted - index;
        if (away < nearest) {
          nearest = away;
          report.chosen = report.samples.size() - 1;
          conclude(report, sample, std::move(map));
        }
      },
      true, progress);
  if (report.samples.empty())
    return std::nullopt;
  report.left_out = listed.size() - report.samples.size();
  report.wanted_ticks =
      choice.largest || choice.moment.kind == Moment::Kind::exit ? 0 : choice.limits.last_ticks;
  report.usage = usage_samples(trace);
  return traced;
}

std::vector<StackId> mapping_stacks(const MemoryReport& report, const ReplayResult& result) {
  std::vector<StackId> stacks;
  for (const Region& region : report.map.regions)
    if (region.site != 0 && region.site < result.site_stacks.size() && result.site_stacks[region.site] != 0)
      stacks.push_back(result.site_stacks[region.site]);
  std::sort(stacks.begin(), stacks.end());
  stacks.erase(std::unique(stacks.begin(), stacks.end()), stacks.end());
  return stacks;
}

} // namespace hl
