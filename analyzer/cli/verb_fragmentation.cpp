// `heapledger fragmentation`: what of the resident heap is waste, who keeps it, what moving blocks would
// help.
#include "cli/gate.h"
#include "cli/heap_question.h"
#include "cli/progress.h"
#include "cli/verbs.h"
#include "fragmentation/fragmentation_metrics.h"
#include "renderers/fragmentation_output.h"

namespace hl {
namespace {

// A list for people and a list for programs; --top 0 lifts either.
constexpr size_t kTopText = 5, kTopJson = 10000;

} // namespace

int run_fragmentation(int argc, char** argv) {
  CLI::App app(
      "What of the resident heap is waste at a moment (default: the last full sample), and who keeps it.",
      "heapledger fragmentation");
  TraceOptions options;
  std::string by = "line", pattern;
  std::optional<size_t> top;
  options.add_trace(app, true);
  app.add_option("--by", by,
                 "places are put together by stack, line, function or module (text; default: line)")
      ->option_text("WHAT")
      ->check(CLI::IsMember({"stack", "line", "function", "module"}));
  app.add_option("--top", top, "entries of each list (default: 5; JSON: 10000; 0: all)")->option_text("N");
  app.add_option("--what-if", pattern,
                 "the heap if blocks lived apart whose stack has a function, file or module\n"
                 "with PATTERN in its name (* any characters, ^ and $ its ends)")
      ->option_text("PATTERN");
  options.add_output(app);
  options.add_limits(app);
  options.add_symbols(app);
  return guarded_main(app, argc, argv, [&] {
    const std::vector<Limit> limits = requested_limits(options);
    const OpenedTrace opened = open_trace(options);
    const Trace& trace = *opened.trace;
    Progress progress("replaying");
    std::string why;
    const auto study = FragmentationStudy::make(trace, opened.moment, progress.callback(), why);
    if (!study)
      throw UsageError(why);
    StackResolver resolver(trace, options.symbolizer_options());
    resolver.resolve(study->stacks());
    const auto places = blamed_places(*study, resolver, options.json ? GroupBy::stack : *parse_group_by(by));
    FragmentationAnswer answer{{trace, study->heap, resolver, opened.moment, *parse_group_by(by),
                                top.value_or(options.json ? kTopJson : kTopText),
                                options.json ? "" : note_on_run(opened)},
                               *study,
                               places};
    if (!pattern.empty()) {
      const std::vector<bool> moved = matching_sites(study->heap.result(), resolver, pattern);
      answer.pattern = pattern;
      answer.apart_sites = static_cast<size_t>(std::count(moved.begin(), moved.end(), true));
      answer.apart = study->apart(moved);
    }
    progress.clear();
    if (options.json) {
      print_json(fragmentation_json, answer);
    } else {
      std::fputs(fragmentation_text(answer, options.style()).c_str(), stdout);
    }
    return limits.empty()
               ? int{kExitFine}
               : conclude(options, opened.choice.path, limit_checks(limits, fragmentation_metrics(*study)));
  });
}

} // namespace hl
