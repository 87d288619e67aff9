// The command line of `heapledger record`.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "heapledger/trace_format.h"

namespace hl {

struct RecordOptions {
  std::string output;           // -o; "": a new run directory
  std::string output_directory; // --output-dir, else $HEAPLEDGER_DIR
  bool quiet = false;
  bool help = false;
  uint32_t flags = 0; // SessionFlags
  double overload_wait_s = 2;
  uint32_t pool_mib = 8;
  int zstd_level = 1;
  LeakPolicy leaks = LeakPolicy::automatic;
  uint32_t scan_options = kScanDefault;
  double sample_budget_percent = 1; // of one processor
  std::vector<std::string> command; // APP and its arguments
};

extern const char kRecordUsage[];

// false: wrong usage; `why` says what is wrong in one line.
bool parse_record_options(int argc, char** argv, RecordOptions& options, std::string& why);

} // namespace hl
