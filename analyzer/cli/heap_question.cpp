// See heap_question.h.
#include "cli/heap_question.h"

#include "cli/gate.h"
#include "cli/progress.h"
#include "cli/verbs.h"

namespace hl {
namespace {

// A list for people and a list for programs; --top 0 lifts either.
constexpr size_t kTopText = 5, kTopJson = 10000;

} // namespace

// A root process that only starts others (a shell, make) has little to tell: say where most was recorded.
std::string note_on_run(const OpenedTrace& opened) {
  if (opened.choice.run_directory.empty())
    return "";
  const std::vector<RunImage> run = list_run(opened.choice.run_directory);
  if (run.size() < 2)
    return "";
  const RunImage* largest = &run.front();
  for (const RunImage& image : run)
    if (image.file_bytes > largest->file_bytes)
      largest = &image;
  std::string note =
      "This run has " + with_thousands(run.size()) + " process images ('heapledger info' lists them)";
  if (largest->path == opened.choice.path)
    return note + "; most was recorded of this one.";
  const std::string command = largest->command.substr(0, largest->command.find(' '));
  return note + "; most was recorded of " + printable(command) + ": --pid " + std::to_string(largest->pid) +
         ".";
}

void HeapQuestion::add_options(CLI::App& app) {
  options.add_trace(app, true);
  app.add_option("--by", by,
                 "sites are put together by stack, line, function or module (text; default: line)")
      ->option_text("WHAT")
      ->check(CLI::IsMember({"stack", "line", "function", "module"}));
  app.add_option("--top", top, "entries of each list (default: 5; JSON: 10000; 0: all)")->option_text("N");
  options.add_output(app);
  options.add_limits(app);
  options.add_symbols(app);
}

int HeapQuestion::answer(std::string (*text)(const HeapAnswer&, const TextStyle&),
                         void (*json)(const HeapAnswer&, JsonWriter&)) const {
  const std::vector<Limit> limits = requested_limits(options);
  const OpenedTrace opened = open_trace(options);
  const Trace& trace = *opened.trace;
  Progress progress("replaying");
  std::string why;
  const auto replay_limits = resolve_moment(trace, opened.moment, why);
  if (!replay_limits)
    throw UsageError(why);
  const HeapReplay heap = replay_heap(trace, *replay_limits, progress.callback());
  StackResolver resolver(trace, options.symbolizer_options());
  std::vector<StackId> stacks = allocating_stacks(heap.result());
  for (const auto& [site, use] : heap.result().mappings.by_site()) {
    if (heap.result().site_stacks[site] != 0)
      stacks.push_back(heap.result().site_stacks[site]);
  }
  resolver.resolve(stacks);
  progress.clear();
  const HeapAnswer answer{trace,
                          heap,
                          resolver,
                          opened.moment,
                          *parse_group_by(by),
                          top.value_or(options.json ? kTopJson : kTopText),
                          options.json ? "" : note_on_run(opened)};
  if (options.json) {
    print_json(json, answer);
  } else {
    std::fputs(text(answer, options.style()).c_str(), stdout);
  }
  return limits.empty()
             ? int{kExitFine}
             : conclude(options, opened.choice.path, limit_checks(limits, metrics_of(trace, heap)));
}

} // namespace hl
