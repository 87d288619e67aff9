// See leak_findings.h.
#include "cli/leak_findings.h"

#include <numeric>

namespace hl {
namespace {

// Stacks of sites that have live blocks (those that leak and those that hold), and with `all` of every site
// that allocated: what grows may have been freed at the very end.
std::vector<StackId> wanted_stacks(const ReplayResult& result, bool all) {
  if (all)
    return allocating_stacks(result);
  std::vector<StackId> stacks;
  for (size_t site = 0; site < result.sites.size(); ++site)
    if (result.sites[site].live_blocks != 0 && result.site_stacks[site] != 0)
      stacks.push_back(result.site_stacks[site]);
  return stacks;
}

} // namespace

LeakFindings::LeakFindings(const OpenedTrace& opened, const LeakFindingOptions& options,
                           const SymbolizerOptions& symbols, Progress& progress)
    : rules_(options.rules), scans_(list_leak_scans(*opened.trace)), resolver_(*opened.trace, symbols) {
  const Trace& trace = *opened.trace;
  const auto generation_option = parse_generation_option(options.generations);
  if (!generation_option)
    throw UsageError("--generations wants marks, marks:NAME, time:N or allocations:N, not '" +
                     options.generations + "'");
  const ReplayLimits limits = choose(opened);
  if (options.with_growth) {
    const TraceCourse course = survey_course(trace, limits, progress.callback());
    std::string why;
    generations_ = choose_generations(course, trace.clock(), *generation_option, why);
    if (!generations_)
      throw UsageError(why);
  }
  heap_ = replay_heap(trace, limits, progress.callback(),
                      generations_ ? history_options(*generations_, true) : ReplayOptions{});
  resolver_.resolve(wanted_stacks(heap_.result(), options.with_growth));
  judge(trace, options, symbols);
}

// Sets the scan; where the replay has to stop.
ReplayLimits LeakFindings::choose(const OpenedTrace& opened) {
  if (const auto chosen = choose_scan(scans_, *opened.trace, opened.moment))
    scan_ = load_leak_scan(*opened.trace, scans_[*chosen]);
  if (scan_ && scan_->scanned())
    return {.last_ticks = scan_->facts.ticks};
  std::string why;
  const auto limits = resolve_moment(*opened.trace, opened.moment, why);
  if (!limits)
    throw UsageError(why);
  return *limits;
}

void LeakFindings::judge(const Trace& trace, const LeakFindingOptions& options,
                         const SymbolizerOptions& symbols) {
  RootNames roots(trace, symbols);
  report_ = make_leak_report(*heap_.replay, scan(), why_not_scanned(trace), roots,
                             rules_.rule_of(trace, heap_.result(), resolver_));
  if (generations_) {
    growth_.emplace(*generations_, *heap_.replay, trace.clock());
    // Of all sites: siblings of what leaks may have come another way and all be freed.
    if ((trace.metadata().header.session_flags & kSessionFreeStacks) != 0) {
      std::vector<uint32_t> sites(heap_.result().sites.size());
      std::iota(sites.begin(), sites.end(), 0);
      resolver_.resolve(freeing_stacks(*heap_.replay, sites));
    }
  }
  study_ = study_leaks(*heap_.replay, report_, report_.scanned ? scan() : nullptr, resolver_, trace.clock(),
                       growth(), {.by = options.by});
}

std::vector<Metric> LeakFindings::with_metrics(std::vector<Metric> metrics) const {
  return growth_metrics(study_, growth_.has_value(), leak_metrics(report_, std::move(metrics)));
}

} // namespace hl
