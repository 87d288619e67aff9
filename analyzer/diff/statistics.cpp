// See statistics.h.
#include "diff/statistics.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

namespace hl {
namespace {

// Twice the mid-ranks of all values, first set first: whole numbers.
std::vector<size_t> doubled_ranks(std::span<const double> first, std::span<const double> second,
                                  double& tie_term) {
  std::vector<double> all(first.begin(), first.end());
  all.insert(all.end(), second.begin(), second.end());
  std::vector<size_t> order(all.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return all[a] < all[b]; });
  std::vector<size_t> ranks(all.size());
  tie_term = 0;
  for (size_t begin = 0; begin < order.size();) {
    size_t end = begin + 1;
    while (end < order.size() && all[order[end]] == all[order[begin]])
      ++end;
    for (size_t i = begin; i < end; ++i)
      ranks[order[i]] = begin + end + 1; // ranks begin+1 ... end, their mean twice
    const double tied = static_cast<double>(end - begin);
    tie_term += tied * tied * tied - tied;
    begin = end;
  }
  return ranks;
}

// counts[s]: subsets of `chosen` ranks whose sum is s. Doubles hold whole numbers up to 2^53 exactly, and 40
// over 20 is below that.
std::vector<double> subset_sums(const std::vector<size_t>& ranks, size_t chosen) {
  const size_t most = std::accumulate(ranks.begin(), ranks.end(), size_t{0});
  std::vector<std::vector<double>> counts(chosen + 1, std::vector<double>(most + 1, 0));
  counts[0][0] = 1;
  size_t reachable = 0;
  for (const size_t rank : ranks) {
    reachable += rank;
    for (size_t size = chosen; size >= 1; --size)
      for (size_t sum = reachable; sum >= rank; --sum)
        counts[size][sum] += counts[size - 1][sum - rank];
  }
  return std::move(counts[chosen]);
}

double exact_p(const std::vector<size_t>& ranks, size_t chosen, size_t sum) {
  const std::vector<double> counts = subset_sums(ranks, chosen);
  // The mean of the sum, times the number of ranks, so that all stays whole.
  const size_t n = ranks.size();
  const auto whole = static_cast<int64_t>(std::accumulate(ranks.begin(), ranks.end(), size_t{0}) * chosen);
  const auto distance = [&](size_t s) { return std::abs(static_cast<int64_t>(s * n) - whole); };
  double all = 0, extreme = 0;
  for (size_t s = 0; s < counts.size(); ++s) {
    all += counts[s];
    extreme += distance(s) >= distance(sum) ? counts[s] : 0;
  }
  return std::min(1.0, extreme / all);
}

double normal_p(double u, double m, double n, double tie_term) {
  const double all = m + n;
  const double variance = m * n / 12 * (all + 1 - tie_term / (all * (all - 1)));
  if (variance <= 0)
    return 1;
  const double distance = std::max(0.0, std::abs(u - m * n / 2) - 0.5);
  return std::min(1.0, std::erfc(distance / std::sqrt(variance) / std::numbers::sqrt2));
}

} // namespace

RankSumTest rank_sum_test(std::span<const double> first, std::span<const double> second) {
  RankSumTest result;
  const size_t m = first.size(), n = second.size();
  if (m == 0 || n == 0)
    return result;
  double tie_term = 0;
  const std::vector<size_t> ranks = doubled_ranks(first, second, tie_term);
  const size_t sum = std::accumulate(ranks.begin() + static_cast<ptrdiff_t>(m), ranks.end(), size_t{0});
  result.u = (static_cast<double>(sum) - static_cast<double>(n * (n + 1))) / 2;
  result.p = m + n <= kExactRankSum
                 ? exact_p(ranks, n, sum)
                 : normal_p(result.u, static_cast<double>(m), static_cast<double>(n), tie_term);
  return result;
}

double smallest_p(size_t first, size_t second) {
  if (first == 0 || second == 0)
    return 1;
  double combinations = 1;
  for (size_t i = 1; i <= first; ++i)
    combinations = combinations * static_cast<double>(second + i) / static_cast<double>(i);
  return std::min(1.0, 2 / combinations);
}

std::vector<double> rank_sum_counts(size_t first, size_t second) {
  // The recurrence of Mann and Whitney: the greatest value belongs to either set.
  std::vector<std::vector<double>> row(second + 1); // of one m, by n
  for (size_t n = 0; n <= second; ++n)
    row[n] = {1};
  for (size_t m = 1; m <= first; ++m) {
    std::vector<std::vector<double>> next(second + 1);
    next[0] = {1};
    for (size_t n = 1; n <= second; ++n) {
      next[n].assign(m * n + 1, 0);
      for (size_t u = 0; u < row[n].size(); ++u)
        next[n][u + n] += row[n][u];
      for (size_t u = 0; u < next[n - 1].size(); ++u)
        next[n][u] += next[n - 1][u];
    }
    row = std::move(next);
  }
  return row[second];
}

Shift shift_between(std::span<const double> first, std::span<const double> second, double confidence) {
  std::vector<double> differences;
  differences.reserve(first.size() * second.size());
  for (const double a : first)
    for (const double b : second)
      differences.push_back(b - a);
  std::sort(differences.begin(), differences.end());
  Shift shift;
  shift.estimate = quantile(differences, 0.5);
  const size_t m = first.size(), n = second.size();
  size_t cut = 1; // the interval goes from the cut-th difference from below to the cut-th from above
  if (m + n <= kExactRankSum) {
    const std::vector<double> counts = rank_sum_counts(m, n);
    const double all = std::accumulate(counts.begin(), counts.end(), 0.0);
    double below = counts[0]; // with U < cut
    while (cut < counts.size() / 2 && (below + counts[cut]) / all <= (1 - confidence) / 2)
      below += counts[cut++];
    shift.confidence = std::max(0.0, 1 - 2 * below / all);
  } else {
    const auto dm = static_cast<double>(m), dn = static_cast<double>(n);
    const double deviation = std::sqrt(dm * dn * (dm + dn + 1) / 12);
    // The quantile of the normal distribution, by bisection of its tail.
    double low = 0, high = 10;
    for (int i = 0; i < 60; ++i) {
      const double middle = (low + high) / 2;
      (std::erfc(middle / std::numbers::sqrt2) > 1 - confidence ? low : high) = middle;
    }
    cut = static_cast<size_t>(std::max(1.0, std::floor(dm * dn / 2 - high * deviation)));
    shift.confidence = confidence;
  }
  shift.low = differences[cut - 1];
  shift.high = differences[differences.size() - cut];
  return shift;
}

std::vector<double> false_discovery_rates(std::span<const double> p) {
  std::vector<size_t> order(p.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return p[a] < p[b]; });
  std::vector<double> q(p.size());
  double least = 1;
  for (size_t i = order.size(); i-- > 0;) {
    least = std::min(least, p[order[i]] * static_cast<double>(p.size()) / static_cast<double>(i + 1));
    q[order[i]] = least;
  }
  return q;
}

double quantile(std::span<const double> values, double fraction) {
  std::vector<double> sorted(values.begin(), values.end());
  std::sort(sorted.begin(), sorted.end());
  const double position = fraction * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(position);
  if (below + 1 >= sorted.size())
    return sorted.back();
  return sorted[below] + (position - static_cast<double>(below)) * (sorted[below + 1] - sorted[below]);
}

} // namespace hl
