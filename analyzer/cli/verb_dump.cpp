// `heapledger dump`: every event as a line of text.
#include "analyses/stack_resolver.h"
#include "cli/progress.h"
#include "cli/trace_options.h"
#include "cli/verbs.h"
#include "renderers/describe_trace.h"
#include "renderers/dump_output.h"
#include "replay/batch_pipe.h"

namespace hl {
namespace {

// The first and the last tick at which the clock shows a moment, by the rules of moments.
uint64_t ticks_of(const Trace& trace, const std::string& text, bool from) {
  // A plain span counts from the start, too.
  auto moment = parse_moment(text);
  if (!moment)
    moment = parse_moment("+" + text);
  if (!moment || moment->kind == Moment::Kind::peak)
    throw UsageError("'" + text + "' is no moment that --from and --to understand; use +90s or 14:03:07");
  if (moment->kind == Moment::Kind::after_start && from)
    return trace.clock().ticks_at_ns(moment->ns);
  std::string why;
  const auto limits = resolve_moment(trace, *moment, why);
  if (!limits || limits->last_step != UINT64_MAX)
    throw UsageError(limits ? "--from and --to want a time, such as +90s or 14:03:07" : why);
  return limits->last_ticks;
}

} // namespace

int run_dump(int argc, char** argv) {
  CLI::App app("Every event as a line of text: time=NS thread=N kind=KIND key=value...", "heapledger dump");
  TraceOptions options;
  std::string from, to;
  std::vector<std::string> kinds;
  bool stacks = false, json = false;
  options.add_trace(app, false);
  app.add_option("--from", from, "leave out what was before (+90s, 14:03:07)")->option_text("TIME");
  app.add_option("--to", to, "leave out what came after")->option_text("TIME");
  app.add_option("--kind", kinds, "only events of these kinds (malloc,free,...)")
      ->option_text("KIND,...")
      ->delimiter(',');
  app.add_flag("--stacks", stacks, "name the frames of each event's stack");
  app.add_flag("--json", json, "one JSON object with every event, instead of lines");
  options.add_symbols(app);
  return guarded_main(app, argc, argv, [&] {
    const OpenedTrace opened = open_trace(options);
    const Trace& trace = *opened.trace;
    DumpOptions dump;
    dump.kinds = kinds;
    dump.json = json;
    if (!from.empty())
      dump.from_ticks = ticks_of(trace, from, true);
    if (!to.empty())
      dump.to_ticks = ticks_of(trace, to, false);
    std::unique_ptr<StackResolver> resolver;
    if (stacks) {
      resolver = std::make_unique<StackResolver>(trace, options.symbolizer_options());
      std::vector<StackId> all;
      for (uint32_t id = 1; id < trace.nodes().size(); ++id)
        if (trace.nodes().canonical(id) == id)
          all.push_back(id);
      resolver->resolve(all);
      dump.resolver = resolver.get();
    }
    EventStream stream(trace, {.in_order = true, .from_ticks = dump.from_ticks, .to_ticks = dump.to_ticks});
    DumpOutput output(trace, dump, stdout);
    {
      BatchPipe pipe(stream);
      while (const EventBatch* batch = pipe.next())
        if (!output.consume(*batch))
          break;
    }
    output.finish();
    for (const std::string& note : caveats(trace, losses_of(trace, stream.counters(), {}), stream.counters()))
      std::fprintf(stderr, "heapledger: %s\n", note.c_str());
    return int{kExitFine};
  });
}

} // namespace hl
