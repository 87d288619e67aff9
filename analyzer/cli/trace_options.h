// The options that verbs share, and what they mean: which trace, which moment, which symbols, how to print.
#pragma once

#include <CLI/CLI.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "analyses/metrics.h"
#include "analyses/moment.h"
#include "reader/run_directory.h"
#include "reader/trace.h"
#include "renderers/text_style.h"
#include "symbols/symbolizer.h"

namespace hl {

// A wrong argument, found after CLI11 was content.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct TraceOptions {
  std::string trace;
  std::optional<uint32_t> pid;
  bool json = false;
  bool exact = false;
  size_t width = 0; // 0: the terminal's, or 100
  std::vector<std::string> limits;
  std::string junit_file; // empty: none
  bool github = false;
  SymbolizerOptions symbols;
  bool no_cache = false;

  void add_trace(CLI::App& app, bool with_moment);
  void add_output(CLI::App& app);
  void add_limits(CLI::App& app);                           // --max, and add_reports()
  void add_reports(CLI::App& app, const std::string& what); // --junit, --github
  void add_symbols(CLI::App& app);

  TextStyle style() const;
  SymbolizerOptions symbolizer_options() const;
};

struct OpenedTrace {
  std::unique_ptr<Trace> trace;
  Moment moment;
  TraceChoice choice;
};
// Throws TraceError and UsageError.
OpenedTrace open_trace(const TraceOptions& options);

// Parses and runs `body`, turning every way to fail into its exit code and one line on stderr.
int guarded_main(CLI::App& app, int argc, char** argv, const std::function<int()>& body);

} // namespace hl
