// `heapledger metrics`: the numbers of a trace that have names, and their values.
#include "cli/gate.h"
#include "cli/trace_metrics.h"
#include "cli/verbs.h"
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

void metrics_json(const std::vector<Metric>& metrics, JsonWriter& json) {
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
    const std::vector<Metric> metrics = trace_metrics(opened, progress);
    progress.clear();
    if (options.json)
      print_json(metrics_json, metrics);
    else
      print_text(metrics);
    return limits.empty() ? int{kExitFine}
                          : conclude(options, opened.choice.path, limit_checks(limits, metrics));
  });
}

} // namespace hl
