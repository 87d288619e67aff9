// The verdict on one named thing that a CI run checks: a limit on a metric, a leak site, later a difference
// between builds. Whoever checks makes these; junit_output and github_annotations show them. Nothing here
// knows of traces.
#pragma once

#include <cstdint>
#include <string>

namespace hl {

struct CheckResult {
  std::string group; // what kind of check: "limits", "leaks"
  std::string name;  // one of its kind, the same from run to run: "peak_bytes", "Session::open session.cc:88"
  bool passed = true;
  std::string message; // one sentence
  std::string details; // lines, such as the stack; may be empty
  std::string file;    // where to look: the first frame of the program's own; empty: nowhere
  uint32_t line = 0;   // 0: unknown
};

} // namespace hl
