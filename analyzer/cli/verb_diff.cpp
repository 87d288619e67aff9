// `heapledger diff`: what changed between two runs, or two moments of one.
#include <filesystem>

#include "cli/diff_limits.h"
#include "cli/gate.h"
#include "cli/progress.h"
#include "cli/run_loading.h"
#include "cli/verbs.h"
#include "renderers/diff_output.h"

namespace hl {
namespace {

// A list for people and a list for programs; --top 0 lifts either.
constexpr size_t kTopText = 10, kTopJson = 10000;

struct DiffVerbOptions {
  TraceOptions common;
  std::string base, next;
  std::string by;
  std::string per;
  std::string renames;
  std::optional<size_t> top;
};

// What a comparison of these two is about: the peaks of two runs, the live heaps of two moments.
ProfileMetric chosen_metric(const DiffVerbOptions& options, const RunProfile& base, const RunProfile& next) {
  if (!options.by.empty()) {
    const auto metric = parse_profile_metric(options.by);
    if (!metric || !facts(*metric).of_sites)
      throw UsageError("--by: there is no measure '" + options.by + "' of sites");
    if (!base.of_sites.has(*metric) || !next.of_sites.has(*metric))
      throw UsageError("--by: '" + options.by + "' is not known of both runs");
    return *metric;
  }
  const auto whole = [](const RunProfile& profile) {
    return profile.moment == "exit" || profile.moment == "peak";
  };
  return whole(base) && whole(next) ? ProfileMetric::peak_bytes : ProfileMetric::exit_bytes;
}

RenameMap chosen_renames(const DiffVerbOptions& options) {
  std::vector<std::string> wrong;
  RenameMap map;
  if (!options.renames.empty())
    map = read_renames(options.renames, wrong);
  if (!wrong.empty())
    throw UsageError(wrong.front() +
                     (wrong.size() > 1 ? " (and " + std::to_string(wrong.size() - 1) + " more)" : ""));
  return map;
}

int answer_diff(const DiffVerbOptions& options) {
  std::vector<DiffLimit> limits;
  for (const std::string& text : options.common.limits) {
    std::string why;
    const auto limit = parse_diff_limit(text, why);
    if (!limit)
      throw UsageError(why);
    limits.push_back(*limit);
  }
  if (limits.empty() && (!options.common.junit_file.empty() || options.common.github))
    throw UsageError("--junit and --github tell what came of limits; there is no --max");
  const RenameMap renames = chosen_renames(options);
  Progress progress("replaying");
  const auto [base, next] =
      load_runs({options.base, &options.common, {}}, {options.next, &options.common, progress.callback()});
  progress.clear();
  std::unique_ptr<RunDiff> diff;
  try {
    diff = std::make_unique<RunDiff>(
        base, next, renames, DiffOptions{.by = chosen_metric(options, base, next), .per = options.per});
  } catch (const std::invalid_argument& wrong) {
    throw UsageError(std::string("--per: ") + wrong.what());
  }
  const DiffAnswer answer{*diff, options.base, options.next,
                          options.top.value_or(options.common.json ? kTopJson : kTopText)};
  if (options.common.json) {
    JsonWriter out(stdout);
    diff_json(answer, out);
    out.flush();
    std::fputc('\n', stdout);
  } else {
    std::fputs(diff_text(answer, options.common.style()).c_str(), stdout);
  }
  return limits.empty() ? int{kExitFine}
                        : conclude(options.common, options.base + " -> " + options.next,
                                   check_diff_limits(limits, *diff));
}

std::string metric_list() {
  std::string list;
  size_t column = 0;
  for (const ProfileMetricFacts& metric : profile_metrics()) {
    if (!metric.of_sites)
      continue;
    if (!list.empty())
      list += column > 60 ? ",\n" : ", ";
    column = (column > 60 ? 0 : column) + metric.name.size() + 2;
    list += metric.name;
  }
  return list;
}

} // namespace

int run_diff(int argc, char** argv) {
  CLI::App app("What changed between two runs: in words, in sums, and site by site, although lines shifted,\n"
               "functions were inlined or renamed, or another compiler built one of them.",
               "heapledger diff");
  DiffVerbOptions options;
  app.add_option("BASE", options.base,
                 "what to compare with: a trace file or run directory, then optionally @peak, @+90s,\n"
                 "@14:03:07, @mark:NAME or @exit")
      ->option_text(" ")
      ->required();
  app.add_option("NEW", options.next,
                 "what is compared; both may be moments of one trace: diff T@14:00 T@15:00")
      ->option_text(" ")
      ->required();
  app.add_option("--by", options.by,
                 "what sites are ranked by (default: peak_bytes; of moments: exit_bytes):\n" + metric_list())
      ->option_text("METRIC");
  app.add_option("--per", options.per,
                 "divide calls, bytes requested and losses by how often the mark was set")
      ->option_text("MARK");
  app.add_option("--renames", options.renames,
                 "functions that have another name in NEW: a file of lines 'old = new'")
      ->option_text("FILE");
  app.add_option("--top", options.top, "places that are listed (default: 10; JSON: 10000 sites; 0: all)")
      ->option_text("N");
  app.add_option("--pid", options.common.pid,
                 "the process of the runs with this pid, instead of their root processes")
      ->option_text("PID");
  options.common.add_output(app);
  app.add_option("--max", options.common.limits,
                 "exit with 1 if NEW has more than that: METRIC=+2%, METRIC=+64k, or METRIC=100M")
      ->option_text("METRIC=+VALUE")
      ->expected(1)
      ->take_all();
  app.add_option("--junit", options.common.junit_file, "write what came of the limits to FILE, as JUnit XML")
      ->option_text("FILE");
  app.add_flag("--github", options.common.github,
               "say what is exceeded in annotations of GitHub Actions (with --json: on stderr)");
  options.common.add_symbols(app);
  return guarded_main(app, argc, argv, [&] { return answer_diff(options); });
}

} // namespace hl
