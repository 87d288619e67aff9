// See ledger_course.h.
#include "ledger/ledger_course.h"

#include <algorithm>

namespace hl {
namespace {

constexpr size_t kMostJudged = 200; // Theil-Sen looks at all pairs
constexpr size_t kLeastJudged = 6;

struct Reading {
  uint64_t ticks, used, limit;
  bool of_cgroup;
};

std::optional<Reading> reading_of(const UsageSample& sample) {
  const UsageValues& values = sample.values;
  const uint64_t machine = values.of(UsageField::machine_total), cgroup = values.of(UsageField::cgroup_max);
  if (values.has(UsageField::cgroup_current) && cgroup != 0 && cgroup < kUsageUnlimited &&
      (machine == 0 || cgroup <= machine))
    return Reading{sample.ticks, values.of(UsageField::cgroup_current), cgroup, true};
  if (machine != 0 && values.has(UsageField::machine_available))
    return Reading{sample.ticks, machine - std::min(machine, values.of(UsageField::machine_available)),
                   machine, false};
  return std::nullopt;
}

} // namespace

LedgerForecast forecast(std::span<const UsageSample> usage, const TraceClock& clock) {
  std::vector<Reading> readings;
  for (const UsageSample& sample : usage)
    if (const auto reading = reading_of(sample))
      readings.push_back(*reading);
  LedgerForecast out;
  if (readings.empty())
    return out;
  const Reading& last = readings.back();
  out.limit_bytes = last.limit;
  out.of_cgroup = last.of_cgroup;
  out.used_bytes = last.used;
  const uint64_t end_ns = clock.ns(last.ticks), start_ns = clock.ns(readings.front().ticks);
  const uint64_t judged_from_ns = start_ns + (end_ns - start_ns) / 2;
  std::vector<double> seconds, bytes;
  for (const Reading& reading : readings)
    if (reading.of_cgroup == last.of_cgroup && clock.ns(reading.ticks) >= judged_from_ns) {
      seconds.push_back(static_cast<double>(clock.ns(reading.ticks) - start_ns) / 1e9);
      bytes.push_back(static_cast<double>(reading.used));
    }
  if (seconds.size() < kLeastJudged)
    return out;
  const size_t step = (seconds.size() + kMostJudged - 1) / kMostJudged;
  std::vector<double> x, y;
  for (size_t i = (seconds.size() - 1) % step; i < seconds.size(); i += step) {
    x.push_back(seconds[i]);
    y.push_back(bytes[i]);
  }
  out.judged_ns = end_ns - judged_from_ns;
  out.bytes_per_second = theil_sen(x, y);
  constexpr double kLongestSeconds = 10 * 365.0 * 86400;
  if (out.bytes_per_second.low > 0 && last.limit > last.used) {
    const double left = static_cast<double>(last.limit - last.used) / out.bytes_per_second.estimate;
    if (left < kLongestSeconds)
      out.reached_in_ns = static_cast<uint64_t>(left * 1e9);
  }
  return out;
}

} // namespace hl
