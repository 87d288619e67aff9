// `heapledger info`: what a trace is and holds, and the process tree of a run.
#include "cli/progress.h"
#include "cli/trace_options.h"
#include "cli/verbs.h"
#include "renderers/info_output.h"

namespace hl {

int run_info(int argc, char** argv) {
  CLI::App app("What a trace is, what it holds and what it lost; of a run directory also its processes.",
               "heapledger info");
  TraceOptions options;
  options.add_trace(app, false);
  options.add_output(app);
  return guarded_main(app, argc, argv, [&] {
    const OpenedTrace opened = open_trace(options);
    Progress progress("counting events");
    const TraceSummary summary = summarize(*opened.trace, progress.callback());
    progress.clear();
    std::vector<RunImage> run;
    if (!opened.choice.run_directory.empty())
      run = list_run(opened.choice.run_directory);
    if (options.json) {
      print_json(info_json, *opened.trace, summary, run);
    } else {
      std::fputs(info_text(*opened.trace, summary, run, options.style()).c_str(), stdout);
    }
    return int{kExitFine};
  });
}

} // namespace hl
