// The verbs of the command line: one file each. A verb parses its own arguments and returns the exit code.
#pragma once

namespace hl {

// What the process returns (a contract).
enum ExitCode : int {
  kExitFine = 0,
  kExitLimitExceeded = 1,
  kExitUsage = 2,
  kExitUnusableTrace = 3,
};

// `argv[0]` is the verb's name.
int run_check(int argc, char** argv);
int run_diff(int argc, char** argv);
int run_info(int argc, char** argv);
int run_leaks(int argc, char** argv);
int run_ledger(int argc, char** argv);
int run_report(int argc, char** argv);
int run_fragmentation(int argc, char** argv);
int run_live(int argc, char** argv);
int run_map(int argc, char** argv);
int run_dump(int argc, char** argv);
int run_metrics(int argc, char** argv);
int run_mark(int argc, char** argv);
int run_snapshot(int argc, char** argv);
// Becomes the recorder's program; returns only if that fails.
int run_record(int argc, char** argv);

} // namespace hl
