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

  bool usual() const { return files.empty() && !no_built_in && !no_program; }
  void add(CLI::App& app);
};

class LeakRules {
 public:
  // Throws UsageError for a file that cannot be read or holds a wrong rule.
  explicit LeakRules(const LeakRulesOptions& options);
  ~LeakRules();

  // Which rule suppresses what, for make_leak_report(). The stacks of sites are resolved; all must outlive
  // the result.
  RuleOf rule_of(const Trace& trace, const ReplayResult& result, const StackResolver& resolver);
  // Of the report that was made with rule_of(): rules that suppressed something, most bytes first.
  std::vector<SuppressionHits> hits(const LeakReport& report) const;

 private:
  void add_rules_of_program(const Trace& trace);

  const LeakRulesOptions options_;
  std::vector<SuppressionRule> rules_;
  std::unique_ptr<SuppressionMatcher> matcher_;
};

} // namespace hl
