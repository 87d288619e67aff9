// See line_pairing.h.
#include "diff/line_pairing.h"

#include <algorithm>

namespace hl {
namespace {

constexpr size_t kMaxCells = 4'000'000;

double ratio(double a, double b) {
  if (a == b)
    return 1;
  return a == 0 || b == 0 ? 0 : std::min(a, b) / std::max(a, b);
}

MetricValues sum(const std::vector<LinedSite>& sites) {
  MetricValues result;
  for (const LinedSite& site : sites)
    result.add(*site.metrics);
  return result;
}

} // namespace

double alike_numbers(const MetricValues& a, const MetricValues& b) {
  using enum ProfileMetric;
  const double calls_a = static_cast<double>(a[allocation_calls]),
               calls_b = static_cast<double>(b[allocation_calls]);
  const double bytes_a = static_cast<double>(a[bytes_requested]),
               bytes_b = static_cast<double>(b[bytes_requested]);
  return 0.5 * ratio(calls_a, calls_b) +
         0.5 * ratio(bytes_a / std::max(1.0, calls_a), bytes_b / std::max(1.0, calls_b));
}

LinePairing::LinePairing(std::vector<LinedSite> base, std::vector<LinedSite> next)
    : base_(std::move(base)), next_(std::move(next)) {
  // Equal lines tell nothing (several copies made in one line): then the sizes do.
  const auto by_lines = [](const LinedSite& a, const LinedSite& b) {
    using enum ProfileMetric;
    if (a.lines != b.lines)
      return a.lines < b.lines;
    const auto size = [](const LinedSite& site) {
      return std::pair((*site.metrics)[bytes_requested], (*site.metrics)[allocation_calls]);
    };
    return size(a) != size(b) ? size(a) < size(b) : a.site < b.site;
  };
  std::sort(base_.begin(), base_.end(), by_lines);
  std::sort(next_.begin(), next_.end(), by_lines);
  if (base_.size() != next_.size()) {
    const MetricValues base_sum = sum(base_), next_sum = sum(next_);
    using enum ProfileMetric;
    merged_ = base_sum[allocation_calls] == next_sum[allocation_calls] &&
              base_sum[bytes_requested] == next_sum[bytes_requested];
    if (merged_)
      return;
  }
  if (base_.size() * next_.size() <= kMaxCells)
    align();
  else
    pair_in_order();
}

void LinePairing::align() {
  const size_t columns = next_.size() + 1;
  std::vector<float> best((base_.size() + 1) * columns, 0);
  const auto at = [&](size_t i, size_t k) -> float& { return best[i * columns + k]; };
  const auto worth = [&](size_t i, size_t k) {
    return static_cast<float>(0.25 + alike_numbers(*base_[i].metrics, *next_[k].metrics) +
                              (base_[i].lines == next_[k].lines ? 0.25 : 0));
  };
  for (size_t i = base_.size(); i-- > 0;)
    for (size_t k = next_.size(); k-- > 0;)
      at(i, k) = std::max({at(i + 1, k + 1) + worth(i, k), at(i + 1, k), at(i, k + 1)});
  for (size_t i = 0, k = 0; i < base_.size() && k < next_.size();) {
    if (at(i, k) == at(i + 1, k + 1) + worth(i, k))
      pairs_.emplace_back(base_[i++].site, next_[k++].site);
    else if (at(i, k) == at(i + 1, k))
      ++i;
    else
      ++k;
  }
}

void LinePairing::pair_in_order() {
  for (size_t i = 0; i < std::min(base_.size(), next_.size()); ++i)
    pairs_.emplace_back(base_[i].site, next_[i].site);
}

} // namespace hl
