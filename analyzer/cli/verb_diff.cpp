// `heapledger diff`: what changed between two runs, or two moments of one.
#include "cli/diff_question.h"
#include "cli/verbs.h"
#include "diff/run_profile.h"

namespace hl {
namespace {

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
  DiffQuestion options;
  app.add_option("BASE", options.base,
                 "what to compare with: a trace file or run directory, then optionally @peak, @+90s,\n"
                 "@14:03:07, @mark:NAME or @exit")
      ->option_text(" ");
  app.add_option("NEW", options.next,
                 "what is compared; both may be moments of one trace: diff T@14:00 T@15:00")
      ->option_text(" ");
  app.add_option("--base", options.base_runs,
                 "several runs to compare with, in place of BASE: traces or saved profiles")
      ->option_text("TRACE...");
  app.add_option("--new", options.new_runs,
                 "several runs that are compared; from four a side on, noise is told from change")
      ->option_text("TRACE...");
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
  options.common.add_reports(app, "what came of the limits");
  app.add_option("--markdown", options.markdown_file,
                 "write verdict, totals and the places that changed most to FILE, for a comment")
      ->option_text("FILE");
  app.add_option("--sarif", options.sarif_file,
                 "write what is exceeded and what grew to FILE, as SARIF 2.1.0")
      ->option_text("FILE");
  options.ownership.add_options(app);
  options.rules.add(app);
  options.common.add_symbols(app);
  return guarded_main(app, argc, argv, [&] { return answer_diff_question(options); });
}

} // namespace hl
