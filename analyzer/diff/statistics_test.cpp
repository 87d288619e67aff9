// The tests of statistics, against tables and against enumeration of every assignment.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include "diff/statistics.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>

namespace hl {
namespace {

// Every way to deal the labels, one by one: what the counting must agree with.
double enumerated_p(const std::vector<double>& first, const std::vector<double>& second) {
  std::vector<double> all = first;
  all.insert(all.end(), second.begin(), second.end());
  const auto u_of = [&](uint32_t chosen) {
    double u = 0;
    for (size_t i = 0; i < all.size(); ++i)
      for (size_t j = 0; j < all.size(); ++j)
        if ((chosen >> i & 1) != 0 && (chosen >> j & 1) == 0)
          u += all[i] > all[j] ? 1 : all[i] == all[j] ? 0.5 : 0;
    return u;
  };
  const double middle = static_cast<double>(first.size() * second.size()) / 2;
  const uint32_t observed = ((1u << second.size()) - 1) << first.size();
  const double distance = std::abs(u_of(observed) - middle);
  double extreme = 0, count = 0;
  for (uint32_t chosen = 0; chosen < 1u << all.size(); ++chosen) {
    if (static_cast<size_t>(__builtin_popcount(chosen)) != second.size())
      continue;
    ++count;
    extreme += std::abs(u_of(chosen) - middle) >= distance ? 1 : 0;
  }
  return extreme / count;
}

} // namespace

TEST_CASE("numbers of assignments by U are those of the tables") {
  CHECK(rank_sum_counts(1, 1) == std::vector<double>{1, 1});
  CHECK(rank_sum_counts(2, 2) == std::vector<double>{1, 1, 2, 1, 1});
  CHECK(rank_sum_counts(3, 3) == std::vector<double>{1, 1, 2, 3, 3, 3, 3, 2, 1, 1});
  CHECK(rank_sum_counts(3, 4) == std::vector<double>{1, 1, 2, 3, 4, 4, 5, 4, 4, 3, 2, 1, 1});
  const std::vector<double> five = rank_sum_counts(5, 5);
  double sum = 0;
  for (const double count : five)
    sum += count;
  CHECK(sum == 252);
  // The critical value of U for 5 and 5 at 0.05 two-sided is 2: P(U <= 2) = 4/252, P(U <= 3) = 7/252.
  CHECK(five[0] + five[1] + five[2] == 4);
  CHECK(five[0] + five[1] + five[2] + five[3] == 7);
}

TEST_CASE("p of sets that do not overlap") {
  const std::vector<double> low3{1, 2, 3}, high3{4, 5, 6};
  CHECK(rank_sum_test(low3, high3).u == 9);
  CHECK(rank_sum_test(low3, high3).p == doctest::Approx(0.1));
  CHECK(rank_sum_test(high3, low3).u == 0);
  CHECK(rank_sum_test(high3, low3).p == doctest::Approx(0.1));
  const std::vector<double> low5{1, 2, 3, 4, 5}, high5{6, 7, 8, 9, 10};
  CHECK(rank_sum_test(low5, high5).p == doctest::Approx(2.0 / 252));
  CHECK(smallest_p(3, 3) == doctest::Approx(0.1));
  CHECK(smallest_p(4, 4) == doctest::Approx(2.0 / 70));
  CHECK(smallest_p(5, 5) == doctest::Approx(2.0 / 252));
  CHECK(smallest_p(1, 5) == doctest::Approx(2.0 / 6));
  CHECK(smallest_p(0, 5) == 1);
}

TEST_CASE("equal sets differ in nothing") {
  const std::vector<double> same{7, 7, 7, 7};
  CHECK(rank_sum_test(same, same).p == 1);
  CHECK(rank_sum_test(same, same).u == 8);
  CHECK(rank_sum_test(same, {}).p == 1);
  const std::vector<double> many(30, 7.0);
  CHECK(rank_sum_test(many, many).p == 1);
}

TEST_CASE("counting agrees with enumeration, ties or none") {
  std::mt19937 random(7);
  for (int round = 0; round < 60; ++round) {
    std::vector<double> first(1 + random() % 6), second(1 + random() % 6);
    const uint32_t values = 2 + random() % 9; // few: many ties
    for (std::vector<double>* set : {&first, &second})
      for (double& value : *set)
        value = random() % values;
    CHECK(rank_sum_test(first, second).p == doctest::Approx(enumerated_p(first, second)));
  }
}

TEST_CASE("the normal approximation joins the exact distribution") {
  std::vector<double> first, second;
  for (int i = 0; i < 20; ++i) {
    first.push_back(i);
    second.push_back(i + 5.5);
  }
  const double exact = rank_sum_test(first, second).p;
  first.push_back(10);
  second.push_back(15.5);
  const double approximate = rank_sum_test(first, second).p;
  CHECK(exact == doctest::Approx(0.0066).epsilon(0.1));
  CHECK(approximate == doctest::Approx(exact).epsilon(0.5));
}

TEST_CASE("the shift is the median of differences and its interval follows the distribution of U") {
  const std::vector<double> base{10, 12, 14, 16, 18}, next{20, 22, 24, 26, 28};
  const Shift shift = shift_between(base, next);
  CHECK(shift.estimate == 10);
  // For 5 and 5 at 95 %: from the third difference of 25 (P(U <= 2) = 0.016, P(U <= 3) = 0.028).
  CHECK(shift.low == 4);
  CHECK(shift.high == 16);
  CHECK(shift.confidence == doctest::Approx(1 - 8.0 / 252));
  const std::vector<double> one{1}, three{2, 5, 9};
  const Shift small = shift_between(one, three);
  CHECK(small.low == 1);
  CHECK(small.high == 8);
  CHECK(small.confidence == doctest::Approx(0.5));
}

TEST_CASE("the interval holds the shift as often as it says") {
  std::mt19937 random(11);
  std::normal_distribution<double> noise;
  int held = 0;
  constexpr int kRounds = 4000;
  for (int round = 0; round < kRounds; ++round) {
    std::vector<double> base(6), next(7);
    for (double& value : base)
      value = noise(random);
    for (double& value : next)
      value = noise(random) + 3;
    const Shift shift = shift_between(base, next);
    CHECK(shift.confidence >= 0.95);
    held += shift.low <= 3 && 3 <= shift.high ? 1 : 0;
  }
  CHECK(held >= 0.945 * kRounds);
}

TEST_CASE("q-values of the paper's example") {
  // Benjamini and Hochberg 1995, section 3.2: fifteen p-values, four of them discoveries at 0.05.
  const std::vector<double> p{0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344,
                              0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0000};
  const std::vector<double> q = false_discovery_rates(p);
  CHECK(std::count_if(q.begin(), q.end(), [](double value) { return value <= 0.05; }) == 4);
  CHECK(q[0] == doctest::Approx(0.0015));
  CHECK(q[1] == doctest::Approx(0.0030));
  CHECK(q[3] == doctest::Approx(0.035625));
  CHECK(q[14] == 1);
  CHECK(std::is_sorted(q.begin(), q.end()));
  CHECK(false_discovery_rates({}).empty());
  const std::vector<double> unordered{0.5, 0.01};
  CHECK(false_discovery_rates(unordered) == std::vector<double>{0.5, 0.02});
}

TEST_CASE("quantiles") {
  const std::vector<double> values{4, 1, 3, 2};
  CHECK(quantile(values, 0.5) == 2.5);
  CHECK(quantile(values, 0) == 1);
  CHECK(quantile(values, 1) == 4);
}

} // namespace hl
