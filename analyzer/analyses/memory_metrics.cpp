// See memory_metrics.h.
#include "analyses/memory_metrics.h"

#include <algorithm>

#include "reader/memory_samples.h"

namespace hl {
namespace {

using Value = std::optional<uint64_t>;

Value most_of(const std::vector<UsageSample>& rows, UsageField field) {
  Value most;
  for (const UsageSample& row : rows)
    if (row.values.has(field))
      most = std::max(most.value_or(0), row.values.of(field));
  return most;
}

Value last_of(const std::vector<UsageSample>& rows, UsageField field) {
  Value last;
  for (const UsageSample& row : rows)
    if (row.values.has(field))
      last = row.values.of(field);
  return last;
}

// The greatest reading from `ticks` to `until` (a block is touched after it was allocated), else the last
// before.
Value most_between(const std::vector<UsageSample>& rows, UsageField field, uint64_t ticks, uint64_t until) {
  Value before, most;
  for (const UsageSample& row : rows) {
    if (!row.values.has(field) || row.ticks > until)
      continue;
    if (row.ticks < ticks)
      before = row.values.of(field);
    else
      most = std::max(most.value_or(0), row.values.of(field));
  }
  return most ? most : before;
}

} // namespace

std::vector<UsageSample> memory_readings(const Trace& trace) {
  std::vector<UsageSample> rows = usage_samples(trace);
  for (const ResidencySample& sample : list_residency_samples(trace))
    rows.push_back({sample.ticks, sample.usage});
  std::stable_sort(rows.begin(), rows.end(),
                   [](const UsageSample& a, const UsageSample& b) { return a.ticks < b.ticks; });
  return rows;
}

std::optional<uint64_t> rss_at_peak(const Trace& trace, const ReplayResult& result,
                                    const std::vector<UsageSample>& readings) {
  if (result.peak_step == 0)
    return {};
  const uint64_t later = trace.clock().ticks_at_ns(trace.clock().ns(result.peak_ticks) + 1'000'000'000);
  return most_between(readings, UsageField::rss, result.peak_ticks, later);
}

std::optional<uint64_t> most_resident_bytes(const Trace& trace, const std::vector<UsageSample>& readings) {
  const TraceMetadata& metadata = trace.metadata();
  if (!metadata.has_status || metadata.status.peak_rss_bytes == 0)
    return {};
  return std::max(metadata.status.peak_rss_bytes, most_of(readings, UsageField::rss).value_or(0));
}

std::vector<Metric> memory_metrics(const Trace& trace, const ReplayResult& result,
                                   const std::vector<UsageSample>& readings) {
  using enum MetricUnit;
  return {
      {"peak_rss", most_of(readings, UsageField::rss), bytes, "most resident memory that was sampled"},
      {"rss_at_peak", rss_at_peak(trace, result, readings), bytes,
       "most resident memory sampled in the second after the live heap's peak"},
      {"rss_at_exit", last_of(readings, UsageField::rss), bytes, "resident memory when last sampled"},
      {"peak_pss", most_of(readings, UsageField::pss), bytes, "most proportional set size that was sampled"},
      {"pss_at_exit", last_of(readings, UsageField::pss), bytes, "proportional set size when last sampled"},
      {"private_dirty", last_of(readings, UsageField::private_dirty), bytes,
       "private dirty memory when last sampled"},
      {"peak_private_dirty", most_of(readings, UsageField::private_dirty), bytes,
       "most private dirty memory that was sampled"},
      {"swap_at_exit", last_of(readings, UsageField::swap), bytes, "swapped out when last sampled"},
  };
}

} // namespace hl
