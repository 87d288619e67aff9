// Options of verbs that say whose code a site is and write more files than one.
#pragma once

#include <CLI/CLI.hpp>

#include <string>
#include <string_view>

#include "budget/budget_check.h"

namespace hl {

struct OwnershipOptions {
  std::string source_root; // empty: found from the working directory
  std::string owners_file; // empty: where GitHub looks

  void add_options(CLI::App& app);
  // Throws UsageError for a file that cannot be read.
  Ownership ownership() const;
};

// The whole of a small file. Throws UsageError; `what` is what it should be.
std::string read_text_file(const std::string& path, const std::string& what);
// Replaces it; through a temporary file beside it, so that it is old or new, never half. Throws UsageError.
void write_file(const std::string& path, std::string_view bytes, const std::string& what);

} // namespace hl
