// Everything `leaks` finds out about a trace, and `metrics` gives the numbers of: the scan that is meant, the
// heap replayed to its moment, the report without what is suppressed, growth.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "analyses/leak_study.h"
#include "cli/leak_rules.h"
#include "cli/progress.h"
#include "cli/trace_options.h"

namespace hl {

struct LeakFindingOptions {
  LeakRulesOptions rules;
  std::string generations = "automatic";
  GroupBy by = GroupBy::line;
  bool with_growth = true;
};

class LeakFindings {
 public:
  // Throws UsageError for rules, generations and moments that cannot be.
  LeakFindings(const OpenedTrace& opened, const LeakFindingOptions& options, const SymbolizerOptions& symbols,
               Progress& progress);
  LeakFindings(const LeakFindings&) = delete;
  LeakFindings& operator=(const LeakFindings&) = delete;

  // nullptr: there is none at that moment.
  const LeakScan* scan() const { return scan_ ? &*scan_ : nullptr; }
  const std::vector<LeakScan>& scans() const { return scans_; } // all of the trace, facts alone
  const HeapReplay& heap() const { return heap_; }
  const StackResolver& resolver() const { return resolver_; }
  const LeakReport& report() const { return report_; }
  const LeakStudy& study() const { return study_; }
  const GrowthAnalysis* growth() const { return growth_ ? &*growth_ : nullptr; } // nullptr: not asked for
  std::vector<SuppressionHits> suppressed() const { return rules_.hits(report_); }
  // `metrics` and those of leaks and growth.
  std::vector<Metric> with_metrics(std::vector<Metric> metrics) const;

 private:
  ReplayLimits choose(const OpenedTrace& opened);
  void judge(const Trace& trace, const LeakFindingOptions& options, const SymbolizerOptions& symbols);

  LeakRules rules_;
  std::vector<LeakScan> scans_;
  std::optional<LeakScan> scan_;
  std::optional<Generations> generations_;
  HeapReplay heap_;
  StackResolver resolver_;
  LeakReport report_;
  std::optional<GrowthAnalysis> growth_;
  LeakStudy study_;
};

} // namespace hl
