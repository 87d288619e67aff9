// Which suppressions `leaks` applies: files that were asked for, what the program brings along, and those
// built in.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "analyses/leak_report.h"
#include "analyses/stack_resolver.h"
#include "renderers/leaks_output.h"
#include "suppressions/suppression_matcher.h"

namespace hl {

struct LeakRulesOptions {
  std::vector<std::string> files;
  bool no_built_in = false;
  bool no_program = false;

  void add(CLI::App& app);
};

class LeakRules {
 public:
  // Throws UsageError for a file that cannot be read or holds a wrong rule.
  explicit LeakRules(const LeakRulesOptions& options);
  ~LeakRules();

  // Entries of the report that a rule suppresses. Their stacks are resolved.
  SuppressedEntries suppress(const Trace& trace, const LeakReport& report, const ReplayResult& result,
                             const StackResolver& resolver);
  // After suppress(), with the report it led to: rules that suppressed something, most bytes first.
  std::vector<SuppressionHits> hits(const LeakReport& report) const;

 private:
  void add_rules_of_program(const Trace& trace);

  const LeakRulesOptions options_;
  std::vector<SuppressionRule> rules_;
  std::unique_ptr<SuppressionMatcher> matcher_;
};

} // namespace hl
