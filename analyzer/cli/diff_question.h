// What `heapledger diff` was asked, and the way from there to the answer: of one run a side, or of several.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/leak_rules.h"
#include "cli/ownership_options.h"
#include "cli/trace_options.h"

namespace hl {

struct DiffQuestion {
  TraceOptions common;
  std::string base, next;                       // one run a side
  std::vector<std::string> base_runs, new_runs; // --base, --new: several
  std::string by;
  std::string per;
  std::string renames;
  std::optional<size_t> top;
  std::string markdown_file, sarif_file; // empty: none
  OwnershipOptions ownership;
  LeakRulesOptions rules;
};

// The exit code. Throws UsageError and TraceError.
int answer_diff_question(DiffQuestion& question);

} // namespace hl
