// Where a run's files go: the run directory or the -o FILE, and the candidates for the session file. Nothing
// that exists is ever overwritten.
#pragma once

#include <string>
#include <vector>

#include "record_options.h"

namespace hl {

struct RunPlace {
  std::string directory;             // absolute; of the traces
  std::string output;                // absolute FILE, or ""
  std::string name;                  // application's base name
  std::vector<std::string> sessions; // candidates for the session file, best first
  std::string notice;                // something the user should know, or ""
  bool made_directory = false;
};

// false: `why` says why no place was found.
bool choose_run_place(const RecordOptions& options, RunPlace& place, std::string& why);

// Each %p of an -o FILE is a process's pid: all of the tree then have such names.
std::string with_pid(std::string path, const std::string& pid);

} // namespace hl
