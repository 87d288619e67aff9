// `heapledger metrics`: the numbers of a trace that have names, and their values.
#include "cli/gate.h"
#include "cli/leak_findings.h"
#include "cli/verbs.h"
#include "fragmentation/fragmentation_metrics.h"
#include "ledger/ledger_metrics.h"
#include "renderers/json_writer.h"

namespace hl {
namespace {

std::string_view unit_name(MetricUnit unit) {
  switch (unit) {
  case MetricUnit::bytes:
    return "bytes";
  case MetricUnit::nanoseconds:
    return "ns";
  case MetricUnit::count:
    break;
  }
  return "count";
}

void print_text(const std::vector<Metric>& metrics) {
  for (const Metric& metric : metrics)
    std::printf("%-24s %16s  %s\n", metric.name.c_str(),
                metric.value ? std::to_string(*metric.value).c_str() : "-",
                (std::string(unit_name(metric.unit)) + ", " + metric.meaning).c_str());
}

void print_json(const std::vector<Metric>& metrics) {
  JsonWriter json(stdout);
  json.begin_object().key("metrics").begin_object();
  for (const Metric& metric : metrics) {
    json.key(metric.name);
    if (metric.value)
      json.value(*metric.value);
    else
      json.null();
  }
  json.end_object().key("units").begin_object();
  for (const Metric& metric : metrics)
    json.member(metric.name, unit_name(metric.unit));
  json.end_object().end_object();
  json.flush();
  std::fputc('\n', stdout);
}

} // namespace

int run_metrics(int argc, char** argv) {
  CLI::App app("The numbers of a trace that have names: what --max limits.", "heapledger metrics");
  TraceOptions options;
  options.add_trace(app, true);
  options.add_output(app);
  options.add_limits(app);
  return guarded_main(app, argc, argv, [&] {
    const std::vector<Limit> limits = requested_limits(options);
    const OpenedTrace opened = open_trace(options);
    Progress progress("replaying");
    // As `leaks` counts them: without what is suppressed.
    const LeakFindings leaks(opened, {}, SymbolizerOptions{}, progress);
    // A scan's moment lies before the one that was asked for.
    std::optional<HeapReplay> later;
    if (leaks.report().scanned) {
      std::string why;
      const auto replay_limits = resolve_moment(*opened.trace, opened.moment, why);
      if (!replay_limits)
        throw UsageError(why);
      later = replay_heap(*opened.trace, *replay_limits, progress.callback());
    }
    std::vector<Metric> metrics =
        leaks.with_metrics(metrics_of(*opened.trace, later ? *later : leaks.heap()));
    std::string why;
    if (const auto study = FragmentationStudy::make(*opened.trace, opened.moment, progress.callback(), why)) {
      for (Metric& metric : fragmentation_metrics(*study))
        metrics.push_back(std::move(metric));
      std::optional<Ledger> ledger;
      if (study->sample)
        ledger = make_ledger(study->map(), study->accounts, study->sample->consistent());
      for (Metric& metric : ledger_metrics(ledger ? &*ledger : nullptr))
        metrics.push_back(std::move(metric));
    }
    progress.clear();
    if (options.json)
      print_json(metrics);
    else
      print_text(metrics);
    return limits.empty() ? int{kExitFine}
                          : conclude(options, opened.choice.path, limit_checks(limits, metrics));
  });
}

} // namespace hl
