// Whether two small sets of measurements differ, without assuming how they are distributed: the rank sum test
// and the shift that belongs to it. Pure functions of numbers; nothing here knows of runs or sites.
//
// Sources. Test: H. B. Mann, D. R. Whitney, "On a test of whether one of two random variables is
// stochastically larger than the other", Ann. Math. Stat. 18 (1947). Its distribution given the ties that
// are there: the permutation distribution of the mid-rank sum, E. L. Lehmann, "Nonparametrics" (1975),
// ch. 1.4. Shift and interval: J. L. Hodges, E. L. Lehmann, Ann. Math. Stat. 34 (1963). Many tests at once:
// Y. Benjamini, Y. Hochberg, J. R. Stat. Soc. B 57 (1995).
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace hl {

// Values up to here in both sets together are counted exactly; more are compared by the normal approximation
// with corrections for ties and continuity.
inline constexpr size_t kExactRankSum = 40;

struct RankSumTest {
  double u = 0; // pairs in which the second set's value is the greater; a tie counts one half
  double p = 1; // two-sided: how often labels dealt at random are at least as far from balance
};
// Either set empty: p is 1.
RankSumTest rank_sum_test(std::span<const double> first, std::span<const double> second);

// The least p that sets of these sizes can reach, which is when they do not overlap and have no ties:
// 2 / (m + n over m).
double smallest_p(size_t first, size_t second);

// How many of the assignments of `first` labels to first + second ranks give each U = 0 ... first * second.
std::vector<double> rank_sum_counts(size_t first, size_t second);

struct Shift {
  double estimate = 0; // the median of all differences second - first
  double low = 0, high = 0;
  // That the interval has at least; lower than was asked for where the sets are too small: then it is the
  // range of all differences.
  double confidence = 0;
};
// Neither set may be empty.
Shift shift_between(std::span<const double> first, std::span<const double> second, double confidence = 0.95);

// p-values of a family -> q-values in the same order: the rate of false discoveries at which each is one.
std::vector<double> false_discovery_rates(std::span<const double> p);

// Of values in any order; not empty. quantile(v, 0.5) is the median; between two values it is interpolated.
double quantile(std::span<const double> values, double fraction);

} // namespace hl
