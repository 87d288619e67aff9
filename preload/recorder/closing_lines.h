// The lines `heapledger record` ends with: how the application ended, what recording cost, what was lost,
// where the trace is. From counters, at once; which site leaks most is told by others (analyzer_line.h).
#pragma once

#include <cstdint>
#include <string>

#include "control_channel.h"

namespace hl {

struct ClosingFacts {
  int status = 0; // of wait()
  uint64_t duration_ns = 0;
  uint64_t application_cpu_ns = 0; // with the children it waited for
  bool has_figures = false;        // the recorder told
  ControlMessage figures;          // kind root_complete
  uint32_t recorder_restarts = 0;
  bool session_lost = false; // see ApplicationEnd
  std::string session;
  std::string leaks;  // what leaked, in a line, where the analyzer could tell in time
  std::string memory; // what resident memory consisted of at its most, likewise
  std::string path;   // file or directory to analyse
};

std::string closing_lines(const ClosingFacts& facts);

} // namespace hl
