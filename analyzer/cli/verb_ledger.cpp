// `heapledger ledger`: what resident memory consists of at a moment, in accounts that add up to it.
#include <numeric>

#include "analyses/memory_moment.h"
#include "cli/gate.h"
#include "cli/progress.h"
#include "cli/verbs.h"
#include "fragmentation/blame.h"
#include "ledger/ledger_metrics.h"
#include "renderers/ledger_output.h"

namespace hl {
namespace {

constexpr size_t kTopText = 3, kTopJson = 1000;
// Of the course; each costs a pass over the live blocks, of other allocators than glibc over the freed ones
// too.
constexpr size_t kMostPoints = 24, kMostPointsElsewhere = 8;

struct LedgerOptions {
  TraceOptions common;
  std::string saw;
  std::optional<size_t> top;
  bool no_course = false;
  bool largest = false;
  bool closing_line = false;
};

// The ledger of one sample with the heap as of its ticks.
struct SampledLedger {
  ResidencySample sample;
  RegionMap map;
  Ledger ledger;
  uint64_t live_bytes; // requested, resident or not
};

// Who keeps stranded bytes, by site (docs/fragmentation.md).
std::vector<AccountOwner> stranded_owners(const PageSources& sources, size_t sites) {
  std::vector<uint32_t> owner_of_site(sites);
  std::iota(owner_of_site.begin(), owner_of_site.end(), 0u);
  const std::vector<Charge> charges = blame_pages(sources, owner_of_site, sites);
  std::vector<AccountOwner> owners;
  for (uint32_t site = 0; site < charges.size(); ++site)
    if (const uint64_t bytes = charges[site].stranded_bytes(); bytes != 0)
      owners.push_back({bytes, site, {}});
  return owners;
}

Ledger ledger_at(const Trace& trace, const ResidencySample& sample, const Replay& replay, bool with_owners,
                 RegionMap& map) {
  const std::vector<HeapBlock> blocks = blocks_by_address(replay);
  map = make_region_map(sample, region_sources(trace, replay, blocks));
  PageSources pages;
  pages.blocks = blocks;
  pages.sample = &sample;
  pages.map = &map;
  pages.allocator = allocator_of(trace.metadata());
  pages.used = replay.used_pages();
  std::vector<AccountOwner> stranded;
  if (with_owners)
    stranded = stranded_owners(pages, replay.result().sites.size());
  return make_ledger(map, account_pages(pages), sample.consistent(), stranded);
}

std::vector<StackId> stacks_of(const Ledger& ledger, const ReplayResult& result) {
  std::vector<StackId> stacks;
  for (const auto& owners : ledger.owners)
    for (const AccountOwner& owner : owners)
      if (owner.site != 0 && result.site_stacks[owner.site] != 0)
        stacks.push_back(result.site_stacks[owner.site]);
  return stacks;
}

int answer_ledger(const LedgerOptions& options) {
  std::optional<SeenNumber> seen;
  if (!options.saw.empty() && !(seen = parse_seen_number(options.saw)))
    throw UsageError("'" + options.saw + "' is no number that a tool showed; write for instance 92M:dumpsys");
  const std::vector<Limit> limits = requested_limits(options.common);
  const OpenedTrace opened = open_trace(options.common);
  const Trace& trace = *opened.trace;
  if (options.largest && opened.moment.kind != Moment::Kind::exit)
    throw UsageError("either a moment or --largest");
  Progress progress("replaying");
  std::string why;
  const auto moment = resolve_moment(trace, opened.moment, why);
  if (!moment)
    throw UsageError(why);
  const std::vector<ResidencySample> listed = list_residency_samples(trace);
  const auto asked = options.largest || options.closing_line ? largest_sample(listed)
                                                             : sample_for(listed, opened.moment, *moment);
  if (!asked)
    throw TraceError(TraceErrorKind::no_samples, trace.path(), why_no_samples(trace));
  // Elsewhere, pages that never held a block are told from free ones.
  const bool is_glibc = allocator_of(trace.metadata()) == AllocatorKind::glibc;
  ReplayOptions replay_options;
  replay_options.used_pages = !is_glibc;
  std::vector<size_t> chosen =
      options.no_course || options.closing_line
          ? std::vector<size_t>{*asked}
          : spread_samples(listed, is_glibc ? kMostPoints : kMostPointsElsewhere, *asked);
  std::optional<SampledLedger> found;
  std::vector<LedgerPoint> course;
  const HeapReplay heap = replay_samples(
      trace, listed, chosen,
      [&](size_t index, const ResidencySample& sample, const Replay& replay) {
        RegionMap map;
        Ledger ledger = ledger_at(trace, sample, replay, index == *asked && !options.closing_line, map);
        course.push_back({sample.ticks, ledger.rss, ledger.bytes});
        if (index == *asked)
          found = {sample, std::move(map), std::move(ledger), replay.result().live_bytes};
      },
      !options.closing_line, progress.callback(), std::move(replay_options));
  if (!found)
    throw TraceError(TraceErrorKind::no_samples, trace.path(), "the sample of that moment is damaged");
  StackResolver resolver(trace, options.common.symbolizer_options());
  if (!options.closing_line) // which names nobody
    resolver.resolve(stacks_of(found->ledger, heap.result()));
  progress.clear();
  const HeapAnswer heap_answer{
      trace,         heap,          resolver,
      opened.moment, GroupBy::line, options.top.value_or(options.common.json ? kTopJson : kTopText)};
  LedgerAnswer answer{heap_answer,
                      found->sample,
                      found->ledger,
                      std::move(course),
                      options.closing_line ? LedgerForecast{} : forecast(usage_samples(trace), trace.clock()),
                      seen,
                      {}};
  if (opened.moment.kind != Moment::Kind::exit)
    answer.distance_ns = static_cast<int64_t>(trace.clock().ns(found->sample.ticks)) -
                         static_cast<int64_t>(trace.clock().ns(moment->last_ticks));
  if (seen) {
    answer.meanings = meanings_of(*seen, {&found->ledger, &found->map, found->sample.usage, found->live_bytes,
                                          heap.result().peak_bytes});
    if (answer.meanings.empty()) {
      std::string known;
      for (const std::string& tool : known_tools())
        known += (known.empty() ? "" : ", ") + tool;
      throw UsageError("what '" + seen->tool + "' shows is not known, or not in this trace; known are " +
                       known);
    }
  }
  if (options.common.json) {
    print_json(ledger_json, answer);
  } else {
    const TextStyle style = options.common.style();
    uint64_t most_rss = 0;
    if (options.closing_line)
      for (const UsageSample& row : usage_samples(trace))
        most_rss = std::max(most_rss, row.values.of(UsageField::rss));
    std::fputs(
        (options.closing_line ? ledger_line(answer, most_rss, style) : ledger_text(answer, style)).c_str(),
        stdout);
  }
  if (limits.empty())
    return kExitFine;
  std::vector<Metric> metrics = metrics_of(trace, heap);
  for (Metric& metric : ledger_metrics(&found->ledger))
    metrics.push_back(std::move(metric));
  return conclude(options.common, opened.choice.path, limit_checks(limits, metrics));
}

} // namespace

int run_ledger(int argc, char** argv) {
  CLI::App app("Resident memory (RSS) in accounts that add up to it, who has them, and how that changed.",
               "heapledger ledger");
  LedgerOptions options;
  options.common.add_trace(app, true);
  app.add_option(
         "--saw", options.saw,
         "explain a number seen elsewhere: BYTES:TOOL, as 92M:dumpsys or 1.2G:top; TOOL may be left out")
      ->option_text("BYTES[:TOOL]");
  app.add_flag("--largest", options.largest, "the sample with most resident memory, instead of a moment");
  app.add_option("--top", options.top, "owners of each account (default: 3; JSON: 1000; 0: all)")
      ->option_text("N");
  app.add_flag("--no-course", options.no_course,
               "the one moment alone, not how the accounts changed over time");
  app.add_flag("--closing-line", options.closing_line, "one line alone, for the end of a run")->group("");
  options.common.add_output(app);
  options.common.add_limits(app);
  options.common.add_symbols(app);
  return guarded_main(app, argc, argv, [&] { return answer_ledger(options); });
}

} // namespace hl
