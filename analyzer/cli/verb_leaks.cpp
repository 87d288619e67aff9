// `heapledger leaks`: what is lost, what grows, from where, what to mend first.
#include <numeric>

#include "analyses/leak_study.h"
#include "cli/gate.h"
#include "cli/leak_rules.h"
#include "cli/progress.h"
#include "cli/trace_options.h"
#include "cli/verbs.h"
#include "renderers/leak_checks.h"
#include "renderers/leaks_output.h"

namespace hl {
namespace {

// A list for people and a list for programs; --top 0 lifts either.
constexpr size_t kTopText = 10, kTopJson = 10000;

struct LeaksOptions {
  TraceOptions common;
  LeakRulesOptions rules;
  std::string by = "line";
  std::string generations = "automatic";
  std::optional<size_t> top;
  bool reachable = false;
  bool no_growth = false;
  bool closing_line = false;
};

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

int answer_leaks(const LeaksOptions& options) {
  const std::vector<Limit> limits = requested_limits(options.common);
  const auto generation_option = parse_generation_option(options.generations);
  if (!generation_option)
    throw UsageError("--generations wants marks, marks:NAME, time:N or allocations:N, not '" +
                     options.generations + "'");
  LeakRules rules(options.rules);
  const OpenedTrace opened = open_trace(options.common);
  const Trace& trace = *opened.trace;
  Progress progress("replaying");
  const std::vector<LeakScan> scans = list_leak_scans(trace);
  std::optional<LeakScan> scan;
  std::string why;
  if (const auto chosen = choose_scan(scans, trace, opened.moment))
    scan = load_leak_scan(trace, *chosen);
  std::optional<ReplayLimits> replay_limits;
  if (scan && scan->scanned())
    replay_limits = ReplayLimits{.last_ticks = scan->facts.ticks};
  else
    replay_limits = resolve_moment(trace, opened.moment, why);
  if (!replay_limits)
    throw UsageError(why);

  const bool with_growth = !options.no_growth && !options.closing_line;
  std::optional<Generations> generations;
  if (with_growth) {
    const TraceCourse course = survey_course(trace, *replay_limits, progress.callback());
    generations = choose_generations(course, trace.clock(), *generation_option, why);
    if (!generations)
      throw UsageError(why);
  }
  const bool free_stacks = (trace.metadata().header.session_flags & kSessionFreeStacks) != 0;
  const HeapReplay heap = replay_heap(trace, *replay_limits, progress.callback(),
                                      generations ? history_options(*generations, true) : ReplayOptions{});
  StackResolver resolver(trace, options.common.symbolizer_options());
  resolver.resolve(wanted_stacks(heap.result(), with_growth));
  RootNames roots(trace, options.common.symbolizer_options());
  const LeakScan* const chosen = scan ? &*scan : nullptr;
  LeakReport report = make_leak_report(*heap.replay, chosen, why_not_scanned(trace), roots);
  if (const SuppressedEntries suppressed = rules.suppress(trace, report, heap.result(), resolver);
      !suppressed.empty())
    report = make_leak_report(*heap.replay, chosen, why_not_scanned(trace), roots, suppressed);
  std::optional<GrowthAnalysis> growth;
  if (generations) {
    growth.emplace(*generations, *heap.replay, trace.clock());
    if (free_stacks) { // of all sites: siblings of what leaks may have come another way and all be freed
      std::vector<uint32_t> sites(heap.result().sites.size());
      std::iota(sites.begin(), sites.end(), 0);
      resolver.resolve(freeing_stacks(*heap.replay, sites));
    }
  }
  const GroupBy by = *parse_group_by(options.by);
  const LeakStudy study = study_leaks(*heap.replay, report, scan && scan->scanned() ? chosen : nullptr,
                                      resolver, trace.clock(), growth ? &*growth : nullptr, {.by = by});
  progress.clear();
  const HeapAnswer heap_answer{trace,    heap,
                               resolver, opened.moment,
                               by,       options.top.value_or(options.common.json ? kTopJson : kTopText)};
  const LeaksAnswer answer{
      heap_answer,        report,           study, chosen, scans, growth ? &*growth : nullptr,
      rules.hits(report), options.reachable};
  if (options.common.json) {
    JsonWriter out(stdout);
    leaks_json(answer, out);
    out.flush();
    std::fputc('\n', stdout);
  } else {
    const TextStyle style = options.common.style();
    std::fputs((options.closing_line ? leaks_line(answer, style) : leaks_text(answer, style)).c_str(),
               stdout);
  }
  if (limits.empty())
    return kExitFine;
  std::vector<CheckResult> checks = limit_checks(
      limits, growth_metrics(study, growth.has_value(), leak_metrics(report, metrics_of(trace, heap))));
  const std::vector<CheckResult> places = leak_checks(answer, checks);
  checks.insert(checks.end(), places.begin(), places.end());
  return conclude(options.common, opened.choice.path, checks);
}

} // namespace

int run_leaks(int argc, char** argv) {
  CLI::App app("What is lost, what grows, what is still reachable and who keeps it: what to mend first.",
               "heapledger leaks");
  LeaksOptions options;
  options.common.add_trace(app, true);
  app.add_option("--by", options.by,
                 "sites are put together by stack, line, function or module (default: line)")
      ->option_text("WHAT")
      ->check(CLI::IsMember({"stack", "line", "function", "module"}));
  app.add_option("--top", options.top, "entries of each list (default: 10; JSON: 10000; 0: all)")
      ->option_text("N");
  app.add_flag("--reachable", options.reachable, "list what is still reachable too, and who keeps it");
  app.add_option(
         "--generations", options.generations,
         "what growth is judged by: marks, marks:NAME, time:N or allocations:N (default: marks if there are "
         "enough, else 24 slices of time)")
      ->option_text("HOW");
  app.add_flag("--no-growth", options.no_growth, "do not judge growth: saves a pass over the trace");
  app.add_flag("--closing-line", options.closing_line, "one line alone, for the end of a run")->group("");
  options.rules.add(app);
  options.common.add_output(app);
  options.common.add_limits(app);
  options.common.add_symbols(app);
  return guarded_main(app, argc, argv, [&] { return answer_leaks(options); });
}

} // namespace hl
