// See measures.h.
#include "fragmentation/measures.h"

#include <algorithm>

namespace hl {
namespace {

double ratio(uint64_t part, uint64_t whole) {
  return static_cast<double>(part) / static_cast<double>(whole);
}

} // namespace

Measures measure(std::span<const HeapPoint> points, uint64_t peak_live_bytes) {
  Measures measures;
  if (points.empty())
    return measures;
  double sum = 0, weights = 0;
  for (size_t i = 0; i < points.size(); ++i) {
    const HeapPoint& point = points[i];
    if (point.live_bytes > points[measures.peak_live_point].live_bytes)
      measures.peak_live_point = i;
    if (point.footprint_bytes > points[measures.peak_footprint_point].footprint_bytes)
      measures.peak_footprint_point = i;
    if (point.live_bytes == 0)
      continue;
    const uint64_t before = points[i == 0 ? 0 : i - 1].ticks;
    const uint64_t after = points[std::min(i + 1, points.size() - 1)].ticks;
    const double weight = std::max(static_cast<double>(after - before) / 2, 1.0);
    sum += weight * ratio(point.footprint_bytes, point.live_bytes);
    weights += weight;
  }
  if (weights > 0)
    measures.average = sum / weights;
  const HeapPoint& most_live = points[measures.peak_live_point];
  const HeapPoint& largest = points[measures.peak_footprint_point];
  if (most_live.live_bytes != 0)
    measures.at_peak_live = ratio(most_live.footprint_bytes, most_live.live_bytes);
  if (largest.live_bytes != 0)
    measures.at_peak_footprint = ratio(largest.footprint_bytes, largest.live_bytes);
  peak_live_bytes = std::max(peak_live_bytes, most_live.live_bytes);
  if (peak_live_bytes != 0)
    measures.peak_over_peak = ratio(largest.footprint_bytes, peak_live_bytes);
  return measures;
}

std::optional<double> external_fragmentation(const PageAccounts& accounts) {
  if (accounts.free_addresses == 0)
    return std::nullopt;
  return 1 - ratio(accounts.largest_free, accounts.free_addresses);
}

} // namespace hl
