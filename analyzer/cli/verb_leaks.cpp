// `heapledger leaks`: what is lost, what grows, from where, what to mend first.
#include "cli/gate.h"
#include "cli/leak_findings.h"
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
  bool contents = false;
  bool no_growth = false;
  bool closing_line = false;
};

int answer_leaks(const LeaksOptions& options) {
  const std::vector<Limit> limits = requested_limits(options.common);
  const OpenedTrace opened = open_trace(options.common);
  Progress progress("replaying");
  const GroupBy by = *parse_group_by(options.by);
  const LeakFindings found(opened,
                           {.rules = options.rules,
                            .generations = options.generations,
                            .by = by,
                            .with_growth = !options.no_growth && !options.closing_line},
                           options.common.symbolizer_options(), progress);
  progress.clear();
  const HeapAnswer heap_answer{
      *opened.trace, found.heap(), found.resolver(),
      opened.moment, by,           options.top.value_or(options.common.json ? kTopJson : kTopText)};
  const LeaksAnswer answer{heap_answer,        found.report(),    found.study(),
                           found.scan(),       found.scans(),     found.growth(),
                           found.suppressed(), options.reachable, options.contents};
  if (options.contents && found.scan() != nullptr && (found.scan()->facts.options & kScanContents) == 0)
    std::fputs("heapledger: this trace keeps no contents of blocks; record with --leak-options contents=1\n",
               stderr);
  if (options.common.json) {
    print_json(leaks_json, answer);
  } else {
    const TextStyle style = options.common.style();
    std::fputs((options.closing_line ? leaks_line(answer, style) : leaks_text(answer, style)).c_str(),
               stdout);
  }
  if (limits.empty())
    return kExitFine;
  std::vector<CheckResult> checks =
      limit_checks(limits, found.with_metrics(metrics_of(*opened.trace, found.heap())));
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
  app.add_flag(
      "--contents", options.contents,
      "show an example block of each place: its address and, if they were kept (record --leak-options "
      "contents=1), its first bytes");
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
