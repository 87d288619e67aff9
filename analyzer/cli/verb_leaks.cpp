// `heapledger leaks`: what is lost, from where, what to mend first.
#include "cli/gate.h"
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
  std::string by = "line";
  std::optional<size_t> top;
  bool reachable = false;
  bool closing_line = false;
};

// Stacks of sites that have live blocks: those that leak and those that hold.
std::vector<StackId> live_stacks(const ReplayResult& result) {
  std::vector<StackId> stacks;
  for (size_t site = 0; site < result.sites.size(); ++site)
    if (result.sites[site].live_blocks != 0 && result.site_stacks[site] != 0)
      stacks.push_back(result.site_stacks[site]);
  return stacks;
}

int answer_leaks(const LeaksOptions& options) {
  const std::vector<Limit> limits = requested_limits(options.common);
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
  const HeapReplay heap = replay_heap(trace, *replay_limits, progress.callback());
  RootNames roots(trace, options.common.symbolizer_options());
  const LeakReport report = make_leak_report(*heap.replay, scan ? &*scan : nullptr, why_not_scanned(trace), roots);
  StackResolver resolver(trace, options.common.symbolizer_options());
  resolver.resolve(live_stacks(heap.result()));
  progress.clear();
  const HeapAnswer heap_answer{trace,        heap, resolver, opened.moment, *parse_group_by(options.by),
                               options.top.value_or(options.common.json ? kTopJson : kTopText)};
  const LeaksAnswer answer{heap_answer, report, scan ? &*scan : nullptr, scans, options.reachable};
  if (options.common.json) {
    JsonWriter out(stdout);
    leaks_json(answer, out);
    out.flush();
    std::fputc('\n', stdout);
  } else {
    const TextStyle style = options.common.style();
    std::fputs((options.closing_line ? leaks_line(answer, style) : leaks_text(answer, style)).c_str(), stdout);
  }
  if (limits.empty())
    return kExitFine;
  std::vector<CheckResult> checks = limit_checks(limits, leak_metrics(report, metrics_of(trace, heap)));
  const std::vector<CheckResult> places = leak_checks(answer, checks);
  checks.insert(checks.end(), places.begin(), places.end());
  return conclude(options.common, opened.choice.path, checks);
}

} // namespace

int run_leaks(int argc, char** argv) {
  CLI::App app("What is lost, what is still reachable and who keeps it, by site: what to mend first.",
               "heapledger leaks");
  LeaksOptions options;
  options.common.add_trace(app, true);
  app.add_option("--by", options.by, "sites are put together by stack, line, function or module (default: line)")
      ->option_text("WHAT")
      ->check(CLI::IsMember({"stack", "line", "function", "module"}));
  app.add_option("--top", options.top, "entries of each list (default: 10; JSON: 10000; 0: all)")->option_text("N");
  app.add_flag("--reachable", options.reachable, "list what is still reachable too, and who keeps it");
  app.add_flag("--closing-line", options.closing_line, "one line alone, for the end of a run")->group("");
  options.common.add_output(app);
  options.common.add_limits(app);
  options.common.add_symbols(app);
  return guarded_main(app, argc, argv, [&] { return answer_leaks(options); });
}

} // namespace hl
