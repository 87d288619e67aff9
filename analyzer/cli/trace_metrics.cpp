// See trace_metrics.h.
#include "cli/trace_metrics.h"

#include "cli/leak_findings.h"
#include "fragmentation/fragmentation_metrics.h"
#include "ledger/ledger_metrics.h"

namespace hl {

std::vector<Metric> trace_metrics(const OpenedTrace& opened, Progress& progress,
                                  const LeakRulesOptions& rules) {
  std::string why;
  const auto limits = resolve_moment(*opened.trace, opened.moment, why);
  if (!limits)
    throw UsageError(why);
  LeakFindingOptions finding;
  finding.rules = rules;
  const LeakFindings leaks(opened, finding, SymbolizerOptions{}, progress);
  const auto study = FragmentationStudy::make(*opened.trace, opened.moment, progress.callback(), why);
  // A scan's moment lies before the one that was asked for; the study goes on to the end.
  std::optional<HeapReplay> later;
  const bool at_the_end = study && study->sample && opened.moment.kind == Moment::Kind::exit;
  if (leaks.report().scanned && !at_the_end)
    later = replay_heap(*opened.trace, *limits, progress.callback());
  const HeapReplay& heap = !leaks.report().scanned ? leaks.heap() : at_the_end ? study->heap : *later;
  std::vector<Metric> metrics = leaks.with_metrics(metrics_of(*opened.trace, heap));
  if (!study)
    return metrics;
  for (Metric& metric : fragmentation_metrics(*study))
    metrics.push_back(std::move(metric));
  std::optional<Ledger> ledger;
  if (study->sample)
    ledger = make_ledger(study->map(), study->accounts, study->sample->consistent());
  for (Metric& metric : ledger_metrics(ledger ? &*ledger : nullptr))
    metrics.push_back(std::move(metric));
  return metrics;
}

} // namespace hl
