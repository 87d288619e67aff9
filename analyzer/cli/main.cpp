// heapledger: the command line. Finds the verb and hands over; everything else is the verbs'.
#include <cstdio>
#include <cstring>
#include <string_view>

#include "cli/verbs.h"
#include "scan/scan_command.h"

namespace {

constexpr char kHelp[] = R"(heapledger - a flight recorder for a program's memory

usage: heapledger record [OPTIONS] [--] APP [ARGS...]    record a program
       heapledger VERB [TRACE] [OPTIONS]                 look at what was recorded

  record         run a program and record every allocation with its stack
  report         who allocated, who held the memory at the peak, what was not freed
  leaks          what is lost, who keeps the rest, what to mend first
  diff           what changed between two runs, or two moments of one
  check          whether a run is within its budget
  map            the whole memory of the process: what is resident, and who mapped it
  ledger         resident memory in accounts that add up to it, and who has them
  fragmentation  what of the resident heap is waste, and who keeps it
  live           the live heap at a moment, by site
  info           what a trace is, what it holds and what it lost
  metrics        the numbers that --max can limit
  dump           every event as a line of text

  mark           name this moment in the trace of a running program: heapledger mark PID NAME
  snapshot       the same, and look for leaks in it: heapledger snapshot PID --leaks

TRACE is a trace file or a run directory; none: the newest run in $HEAPLEDGER_DIR or here.
A moment may follow it: TRACE@peak, TRACE@+90s, TRACE@14:03:07, TRACE@mark:NAME, TRACE@exit.
With --json every verb that reads a trace prints one JSON object.

Exit status: 0 fine, 1 a limit (--max) was exceeded, 2 wrong usage, 3 unusable trace;
of record: the program's own.

heapledger VERB --help tells more.
)";

struct Verb {
  std::string_view name;
  int (*run)(int argc, char** argv);
};

constexpr Verb kVerbs[] = {
    {"record", hl::run_record}, {"report", hl::run_report},    {"leaks", hl::run_leaks},
    {"diff", hl::run_diff},     {"check", hl::run_check},      {"ledger", hl::run_ledger},
    {"live", hl::run_live},     {"map", hl::run_map},          {"fragmentation", hl::run_fragmentation},
    {"info", hl::run_info},     {"metrics", hl::run_metrics},  {"dump", hl::run_dump},
    {"mark", hl::run_mark},     {"snapshot", hl::run_snapshot}};

} // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fputs(kHelp, stderr);
    return hl::kExitUsage;
  }
  const std::string_view name = argv[1];
  if (name == "--help" || name == "-h" || name == "help") {
    std::fputs(kHelp, stdout);
    return hl::kExitFine;
  }
  if (name == "--version") {
    std::printf("heapledger %s\n", HEAPLEDGER_VERSION);
    return hl::kExitFine;
  }
  if (name == "scan-process") // for the recorder
    return hl::run_scan_process(argc - 1, argv + 1);
  for (const Verb& verb : kVerbs)
    if (verb.name == name)
      return verb.run(argc - 1, argv + 1);
  std::fprintf(stderr, "heapledger: there is no verb '%s'. Try 'heapledger --help'.\n", argv[1]);
  return hl::kExitUsage;
}
