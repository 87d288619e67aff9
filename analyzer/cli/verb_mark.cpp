// `heapledger mark PID NAME`: names this moment in the trace of a running program.
#include "cli/trace_options.h"
#include "cli/verbs.h"
#include "live/running_process.h"

namespace hl {

int run_mark(int argc, char** argv) {
  CLI::App app("Names this moment in the trace of a program that is being recorded; later: TRACE@mark:NAME.",
               "heapledger mark");
  uint32_t pid = 0;
  std::string name;
  app.add_option("PID", pid, "the process")->required()->check(CLI::Range(1u, 1u << 22));
  app.add_option("NAME", name, "at most 470 bytes")->required()->check(CLI::TypeValidator<std::string>());
  return guarded_main(app, argc, argv, [&] {
    if (name.empty())
      throw UsageError("a mark needs a name");
    try {
      RunningProcess(pid, kExitUnusableTrace).ask(name, kDeskSample, [](double) {});
    } catch (const NotRecorded& problem) {
      std::fprintf(stderr, "heapledger mark: %s\n", problem.what());
      return int{kExitUnusableTrace};
    }
    return int{kExitFine};
  });
}

} // namespace hl
