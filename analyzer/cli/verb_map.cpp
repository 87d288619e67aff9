// `heapledger map`: the memory of a process at a moment, region by region; also from a saved smaps text.
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>

#include "cli/gate.h"
#include "cli/progress.h"
#include "cli/verbs.h"
#include "renderers/map_output.h"

namespace hl {
namespace {

constexpr size_t kSamplesText = 64, kSamplesJson = 256;
constexpr size_t kMaxSmapsBytes = size_t{1} << 28; // 65 530 mappings make 50 MB

struct MapOptions {
  TraceOptions common;
  std::string smaps_file;
  bool all = false;
  bool largest = false;
};

std::string read_text(const std::string& path) {
  if (path == "-") {
    std::string text;
    char buffer[1 << 16];
    for (size_t got = 0;
         text.size() < kMaxSmapsBytes && (got = std::fread(buffer, 1, sizeof buffer, stdin)) != 0;)
      text.append(buffer, got);
    return text;
  }
  std::ifstream file(path, std::ios::binary);
  if (!file)
    throw TraceError(errno == ENOENT ? TraceErrorKind::not_found : TraceErrorKind::unreadable, path,
                     std::strerror(errno));
  std::string text;
  char buffer[1 << 16];
  while (text.size() < kMaxSmapsBytes && (file.read(buffer, sizeof buffer) || file.gcount() > 0))
    text.append(buffer, static_cast<size_t>(file.gcount()));
  if (file.bad())
    throw TraceError(TraceErrorKind::unreadable, path, "it cannot be read");
  return text;
}

void print(const MapAnswer& answer, const MapOptions& options) {
  if (options.common.json) {
    print_json(map_json, answer);
  } else {
    std::fputs(map_text(answer, options.common.style()).c_str(), stdout);
  }
}

int map_of_smaps(const MapOptions& options) {
  if (!options.common.trace.empty())
    throw UsageError("either a trace or --smaps FILE");
  if (!options.common.limits.empty())
    throw UsageError("--max needs a trace");
  const std::string text = read_text(options.smaps_file);
  const auto report = report_on_smaps(text);
  const std::string name = options.smaps_file == "-" ? "standard input" : options.smaps_file;
  if (!report) {
    const Smaps read = parse_smaps(text);
    throw TraceError(text.empty() ? TraceErrorKind::empty : TraceErrorKind::not_a_trace, name,
                     "no mapping of /proc/PID/smaps in it" +
                         (read.problems.empty() ? std::string() : " (" + read.problems.front() + ")"));
  }
  print({.report = *report, .heap = nullptr, .source = name, .all = options.all}, options);
  return kExitFine;
}

int map_of_trace(const MapOptions& options) {
  const std::vector<Limit> limits = requested_limits(options.common);
  const OpenedTrace opened = open_trace(options.common);
  const Trace& trace = *opened.trace;
  Progress progress("replaying");
  std::string why;
  const auto replay_limits = resolve_moment(trace, opened.moment, why);
  if (!replay_limits)
    throw UsageError(why);
  if (options.largest && opened.moment.kind != Moment::Kind::exit)
    throw UsageError("either a moment or --largest");
  const auto traced = report_on_trace(trace,
                                      {.moment = opened.moment,
                                       .limits = *replay_limits,
                                       .largest = options.largest,
                                       .most = options.common.json ? kSamplesJson : kSamplesText},
                                      progress.callback());
  if (!traced)
    throw TraceError(TraceErrorKind::nothing_whole, trace.path(), why_no_samples(trace));
  StackResolver resolver(trace, options.common.symbolizer_options());
  resolver.resolve(mapping_stacks(traced->report, traced->heap.result()));
  progress.clear();
  const Moment end;
  const HeapAnswer heap{trace, traced->heap, resolver, end};
  print({.report = traced->report, .heap = &heap, .all = options.all}, options);
  return limits.empty() ? int{kExitFine}
                        : conclude(options.common, opened.choice.path,
                                   limit_checks(limits, metrics_of(trace, traced->heap)));
}

} // namespace

int run_map(int argc, char** argv) {
  CLI::App app(
      "The memory of a process, region by region: what is resident, who mapped it, how it grew; and the\n"
      "same in the words of Android, Apple and the OOM killer.",
      "heapledger map");
  MapOptions options;
  options.common.add_trace(app, true);
  app.add_option("--smaps", options.smaps_file,
                 "no trace, but a saved text of /proc/PID/smaps, of Linux or Android (-: standard input)")
      ->option_text("FILE");
  app.add_flag("--largest", options.largest, "the sample with most resident memory, instead of a moment");
  app.add_flag("--all", options.all, "every region on a line of its own: nothing put together or folded");
  options.common.add_output(app);
  options.common.add_limits(app);
  options.common.add_symbols(app);
  return guarded_main(app, argc, argv, [&] {
    return options.smaps_file.empty() ? map_of_trace(options) : map_of_smaps(options);
  });
}

} // namespace hl
