// See growth.h.
#include "analyses/growth.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace hl {
namespace {

// Of the judged generations, how many must have left something; and of each half of them.
constexpr double kShareWithSurvivors = 0.6, kShareOfEachHalf = 0.4;
// A generation with less than this of the average number of calls was idle: nothing can stay of it.
constexpr double kIdleShare = 0.05;
// Of the oldest cohorts, how many may have died in the last quarter; and against what grew meanwhile, those
// of the warm-up counted too (a cache that turns over once in the run loses those first).
constexpr double kOldestDeaths = 0.05, kOldDeathsToGrowth = 0.15;
// The last third of the work must have left at least this share of what the first third left, one standard
// deviation of so many blocks allowed for; else, if the second half of what is judged also left less than the
// first half (so that it is not just the start-up that left much), growth slows down.
constexpr double kSlowing = 0.85, kSlowingWithinJudged = 0.95;
constexpr double kLevelTolerance = 0.1;
constexpr uint64_t kFewestGrownBlocks = 3;

// The middle of sorted or unsorted values; reorders them.
double median(std::vector<double>& values) {
  const size_t middle = values.size() / 2;
  const auto at = values.begin() + static_cast<ptrdiff_t>(middle);
  std::nth_element(values.begin(), at, values.end());
  if (values.size() % 2 != 0)
    return *at;
  return (*at + *std::max_element(values.begin(), at)) / 2;
}

} // namespace

std::string_view to_string(GrowthVerdict verdict) {
  switch (verdict) {
  case GrowthVerdict::none:
    return "none";
  case GrowthVerdict::too_short:
    return "too_short";
  case GrowthVerdict::growing:
    return "growing";
  case GrowthVerdict::plateau:
    return "plateau";
  case GrowthVerdict::bounded:
    return "bounded";
  case GrowthVerdict::one_time:
    return "one_time";
  case GrowthVerdict::falling:
    return "falling";
  }
  return "none";
}

std::string_view to_string(GrowthConfidence confidence) {
  return confidence == GrowthConfidence::high ? "high" : "low";
}

Slope theil_sen(std::span<const double> x, std::span<const double> y) {
  std::vector<double> slopes;
  slopes.reserve(x.size() * x.size() / 2);
  for (size_t i = 0; i < x.size(); ++i)
    for (size_t k = i + 1; k < x.size(); ++k)
      if (x[k] > x[i])
        slopes.push_back((y[k] - y[i]) / (x[k] - x[i]));
  if (slopes.empty())
    return {};
  Slope slope;
  slope.estimate = median(slopes);
  std::sort(slopes.begin(), slopes.end());
  const auto n = static_cast<double>(x.size()), pairs = static_cast<double>(slopes.size());
  const double reach = 1.96 * std::sqrt(n * (n - 1) * (2 * n + 5) / 18);
  // Ranks count from 1; of few points the interval is all there is.
  const double low = std::floor((pairs - reach) / 2), high = std::ceil((pairs + reach) / 2 + 1);
  slope.low = slopes[static_cast<size_t>(std::clamp(low, 1.0, pairs)) - 1];
  slope.high = slopes[static_cast<size_t>(std::clamp(high, 1.0, pairs)) - 1];
  return slope;
}

// Some sites' notes, summed. By boundary, but for what is by generation of birth.
struct GrowthAnalysis::Series {
  std::vector<uint64_t> live_bytes, live_blocks, settled_bytes, settled_blocks, births;
  std::vector<uint64_t> late_blocks;                    // at three quarters, by generation of birth
  std::vector<uint64_t> last_blocks, last_bytes;        // at the last boundary, by generation of birth
  uint64_t end_blocks = 0, end_bytes = 0;               // at the end of the replay
  uint64_t newest_end_blocks = 0, newest_end_bytes = 0; // of those, born after the last boundary
};

GrowthAnalysis::GrowthAnalysis(const Generations& generations, const Replay& replay, const TraceClock& clock)
    : generations_(generations), replay_(replay), history_(*replay.history()), clock_(clock) {
  for (const ProcessNote& note : history_.process()) {
    boundary_seconds_.push_back(static_cast<double>(clock.ns(note.ticks)) / 1e9);
    boundary_calls_.push_back(static_cast<double>(note.allocation_calls));
  }
}

GrowthAnalysis::Series GrowthAnalysis::series_of(std::span<const uint32_t> sites) const {
  const size_t boundaries = generations_.boundaries.size();
  Series series;
  for (auto* column : {&series.live_bytes, &series.live_blocks, &series.settled_bytes, &series.settled_blocks,
                       &series.births})
    column->resize(boundaries);
  for (auto* column : {&series.late_blocks, &series.last_blocks, &series.last_bytes})
    column->resize(boundaries + 1);
  const size_t censuses = history_.options().censuses.size();
  for (const uint32_t site : sites) {
    const std::vector<SiteNote> notes = history_.notes_of(site);
    for (size_t b = 0; b < boundaries; ++b) {
      series.live_bytes[b] += notes[b].live_bytes;
      series.live_blocks[b] += notes[b].live_blocks;
      series.settled_bytes[b] += notes[b].settled_bytes;
      series.settled_blocks[b] += notes[b].settled_blocks;
      series.births[b] += notes[b].births;
    }
    if (censuses > 1)
      for (const Census::Cohort& cohort : history_.census(0).cohorts_of(site))
        series.late_blocks[cohort.generation] += cohort.blocks;
    if (censuses > 0)
      for (const Census::Cohort& cohort : history_.census(censuses - 1).cohorts_of(site)) {
        series.last_blocks[cohort.generation] += cohort.blocks;
        series.last_bytes[cohort.generation] += cohort.bytes;
      }
    for (const Census::Cohort& cohort : history_.census_at_end().cohorts_of(site)) {
      if (cohort.generation != boundaries)
        continue;
      series.newest_end_blocks += cohort.blocks;
      series.newest_end_bytes += cohort.bytes;
    }
    series.end_bytes += replay_.result().sites[site].live_bytes;
    series.end_blocks += replay_.result().sites[site].live_blocks;
  }
  return series;
}

namespace {

struct Window {
  size_t first, last; // boundaries: judged are the generations first + 1 ... last
  size_t size() const { return last - first; }
};

template <typename T> uint64_t sum(const std::vector<T>& values, size_t from, size_t to) {
  return std::accumulate(values.begin() + static_cast<ptrdiff_t>(from),
                         values.begin() + static_cast<ptrdiff_t>(to) + 1, uint64_t{0});
}

double share_with(const std::vector<uint64_t>& survivors, const std::vector<bool>& idle, size_t from,
                  size_t to) {
  size_t counted = 0, with = 0;
  for (size_t c = from; c < to; ++c) {
    if (idle[c])
      continue;
    ++counted;
    with += survivors[c] != 0 ? 1 : 0;
  }
  return counted == 0 ? 0 : static_cast<double>(with) / static_cast<double>(counted);
}

} // namespace

bool GrowthAnalysis::slows_down(const std::vector<uint64_t>& survivors, size_t first_judged) const {
  // Against work, not time, and the measure of work is allocation calls: the machine's load changes what a
  // second holds, and other threads' requests what lies between two marks of one.
  const auto work = [&](size_t b) { return boundary_calls_[b]; };
  const auto boundary_at = [&](size_t from, size_t to, double share) {
    size_t b = from + 1;
    while (b + 1 < to && work(b) - work(from) < share * (work(to) - work(from)))
      ++b;
    return b;
  };
  struct Part {
    double kept, rate;
  };
  const auto part = [&](size_t from, size_t to) { // generations from + 1 ... to
    const auto kept = static_cast<double>(sum(survivors, from + 1, to));
    const double done = work(to) - work(from);
    return Part{kept, done > 0 ? kept / done : 0};
  };
  // The newest generations may hold what is just not replaced yet; it would hide that the rest slows down.
  const size_t end = history_.options().censuses.front();
  const size_t start = std::min<size_t>(1, first_judged);
  const Part early = part(start, boundary_at(start, end, 1.0 / 3));
  const Part late = part(boundary_at(start, end, 2.0 / 3), end);
  const size_t half = boundary_at(first_judged, end, 0.5);
  const Part first_half = part(first_judged, half), second_half = part(half, end);
  if (early.kept == 0 || first_half.kept == 0)
    return false;
  const double noise = std::sqrt(1 / early.kept + 1 / std::max(late.kept, 1.0));
  return late.rate < kSlowing * std::exp(-noise) * early.rate &&
         second_half.rate < kSlowingWithinJudged * first_half.rate;
}

Growth GrowthAnalysis::judge_series(const Series& series) const {
  Growth growth;
  growth.confidence = GrowthConfidence::high;
  growth.live_bytes = series.live_bytes;
  growth.live_blocks = series.live_blocks;
  growth.live_bytes.push_back(series.end_bytes);
  growth.live_blocks.push_back(series.end_blocks);
  growth.survivor_blocks = series.last_blocks;
  growth.survivor_bytes = series.last_bytes;
  growth.survivor_blocks.back() = series.newest_end_blocks;
  growth.survivor_bytes.back() = series.newest_end_bytes;

  const size_t boundaries = generations_.boundaries.size();
  const bool anything = series.end_blocks != 0 || (boundaries != 0 && series.live_blocks.back() != 0);
  if (!anything)
    return growth;
  if (!generations_.too_short.empty() || boundaries < 2 || generations_.warm_up + 2u > boundaries - 1) {
    growth.verdict = GrowthVerdict::too_short;
    growth.reason = generations_.too_short;
    return growth;
  }
  const Window window{generations_.warm_up, boundaries - 1};
  const size_t count = window.size();
  const uint64_t live_last = series.live_blocks[window.last];
  if (live_last == 0)
    return growth;

  // Deaths of blocks that were there when their generation began.
  std::vector<uint64_t> settled_deaths(boundaries);
  for (size_t b = 1; b < boundaries; ++b)
    settled_deaths[b] = series.live_blocks[b - 1] - series.settled_blocks[b];
  const uint64_t judged_births = sum(series.births, window.first + 1, window.last);
  const uint64_t judged_deaths = sum(settled_deaths, window.first + 1, window.last);
  if (judged_births == 0 && judged_deaths == 0) {
    growth.verdict = GrowthVerdict::one_time;
    return growth;
  }

  std::vector<bool> idle(boundaries + 1);
  const double calls_each =
      (boundary_calls_[window.last] - boundary_calls_[window.first]) / static_cast<double>(count);
  for (size_t c = window.first + 1; c <= window.last; ++c)
    idle[c] = boundary_calls_[c] - boundary_calls_[c - 1] < kIdleShare * calls_each;
  // The newest generation's blocks may be in flight.
  const size_t middle = (window.first + 1 + window.last) / 2;
  growth.share_with_survivors = share_with(series.last_blocks, idle, window.first + 1, window.last);
  const double older_share = share_with(series.last_blocks, idle, window.first + 1, middle);
  const double newer_share = share_with(series.last_blocks, idle, middle, window.last);
  const size_t oldest_end = window.first + std::max<size_t>(1, count / 3);
  const uint64_t oldest_then = sum(series.late_blocks, window.first + 1, oldest_end);
  const uint64_t oldest_now = sum(series.last_blocks, window.first + 1, oldest_end);
  growth.oldest_blocks = oldest_then;
  growth.oldest_deaths = oldest_then - std::min(oldest_then, oldest_now);
  const uint64_t old_deaths =
      growth.oldest_deaths + sum(series.late_blocks, 0, window.first) -
      std::min(sum(series.late_blocks, 0, window.first), sum(series.last_blocks, 0, window.first));

  // Points of the trend: what has settled at each boundary once the first judged generation is over.
  const size_t first_point = window.first + 1;
  const auto settled_since = [&](size_t from, size_t to) {
    return static_cast<double>(series.settled_blocks[to]) - static_cast<double>(series.settled_blocks[from]);
  };
  const size_t late = history_.options().censuses.front();
  const bool candidate = settled_since(first_point, window.last) >= kFewestGrownBlocks &&
                         growth.share_with_survivors >= kShareWithSurvivors &&
                         older_share >= kShareOfEachHalf && newer_share >= kShareOfEachHalf;
  std::vector<double> seconds, order, bytes, blocks;
  for (size_t b = first_point; b <= window.last; ++b) {
    seconds.push_back(boundary_seconds_[b]);
    order.push_back(static_cast<double>(b));
    bytes.push_back(static_cast<double>(series.settled_bytes[b]));
    blocks.push_back(static_cast<double>(series.settled_blocks[b]));
  }
  if (candidate && oldest_then != 0 &&
      static_cast<double>(growth.oldest_deaths) <= kOldestDeaths * static_cast<double>(oldest_then) &&
      settled_since(late, window.last) > 0 &&
      static_cast<double>(old_deaths) <= kOldDeathsToGrowth * settled_since(late, window.last)) {
    growth.bytes_per_second = theil_sen(seconds, bytes);
    growth.bytes_per_generation = theil_sen(order, bytes);
    growth.blocks_per_generation = theil_sen(order, blocks);
    if (growth.bytes_per_generation.low > 0 && growth.blocks_per_generation.low > 0) {
      growth.verdict = GrowthVerdict::growing;
      size_t first = window.first + 1;
      while (series.last_blocks[first] == 0)
        ++first;
      growth.since_ns = static_cast<uint64_t>(boundary_seconds_[first - 1] * 1e9);
      if (slows_down(series.last_blocks, window.first)) {
        growth.confidence = GrowthConfidence::low;
        growth.reason = "it grows ever more slowly: perhaps a cache that is still filling";
      }
      return growth;
    }
  }

  // Not growing. Is there a level that it keeps?
  const double level = static_cast<double>(series.live_bytes[window.last]);
  double most = level;
  size_t since = window.last;
  while (since > 0) {
    const double value = static_cast<double>(series.live_bytes[since - 1]);
    const double highest = std::max(most, value);
    if (std::abs(value - level) > kLevelTolerance * highest)
      break;
    most = highest;
    --since;
  }
  const uint64_t deaths_since = since < window.last ? sum(settled_deaths, since + 1, window.last) : 0;
  if (window.last - since >= std::max<size_t>(3, count / 4)) {
    growth.since_ns = since == 0 ? 0 : static_cast<uint64_t>(boundary_seconds_[since] * 1e9);
    growth.verdict = deaths_since * 2 >= live_last ? GrowthVerdict::bounded : GrowthVerdict::plateau;
    return growth;
  }
  std::vector<double> live(series.live_bytes.begin() + static_cast<ptrdiff_t>(first_point),
                           series.live_bytes.begin() + static_cast<ptrdiff_t>(window.last) + 1);
  const Slope trend = theil_sen(order, live);
  const double mean = std::accumulate(live.begin(), live.end(), 0.0) / static_cast<double>(live.size());
  const double change = trend.estimate * static_cast<double>(count);
  if (trend.high < 0 && -change > kLevelTolerance * mean) {
    growth.verdict = GrowthVerdict::falling;
    growth.bytes_per_second = theil_sen(seconds, live);
    growth.bytes_per_generation = trend;
  } else if (judged_deaths >= live_last && (trend.low <= 0 || change < 2 * kLevelTolerance * mean)) {
    growth.verdict = GrowthVerdict::bounded;
    growth.since_ns = static_cast<uint64_t>(boundary_seconds_[window.first] * 1e9);
  }
  return growth;
}

Growth GrowthAnalysis::judge(std::span<const uint32_t> sites) const {
  return judge_series(series_of(sites));
}

Growth GrowthAnalysis::judge_group(std::span<const uint32_t> sites) const {
  Growth whole = judge(sites);
  if (whole.alarming() || whole.verdict == GrowthVerdict::too_short || sites.size() < 2)
    return whole;
  std::vector<uint32_t> growing;
  for (const uint32_t site : sites)
    if (replay_.result().sites[site].allocation_calls >= kFewestGrownBlocks && judge(site).alarming())
      growing.push_back(site);
  if (growing.empty())
    return whole;
  Growth part = judge(growing);
  if (!part.alarming()) // each by itself, at times of its own: the first will do
    part = judge(growing.front()), growing.resize(1);
  part.through_sites = std::move(growing);
  return part;
}

std::vector<GrowthAnalysis::Iteration> GrowthAnalysis::iterations(const std::vector<SiteGroup>& groups,
                                                                  size_t top) const {
  const size_t boundaries = generations_.boundaries.size();
  const ReplayResult& result = replay_.result();
  std::vector<Iteration> iterations(boundaries + 1);
  for (size_t g = 0; g <= boundaries; ++g) {
    Iteration& iteration = iterations[g];
    const ProcessNote* end = g < boundaries ? &history_.process()[g] : nullptr;
    iteration.name = generations_.names[g];
    iteration.start_ns = g == 0 ? 0 : clock_.ns(generations_.boundaries[g - 1]);
    iteration.end_ns = clock_.ns(end != nullptr ? end->ticks : result.last_ticks);
    iteration.live_bytes = end != nullptr ? end->live_bytes : result.live_bytes;
    iteration.live_blocks = end != nullptr ? end->live_blocks : result.live_blocks;
    iteration.allocation_calls = (end != nullptr ? end->allocation_calls : result.allocation_calls) -
                                 (g == 0 ? 0 : history_.process()[g - 1].allocation_calls);
  }
  const size_t censuses = history_.options().censuses.size();
  std::vector<std::vector<Iteration::Share>> shares(boundaries + 1);
  for (uint32_t i = 0; i < groups.size(); ++i) {
    for (const uint32_t site : groups[i].sites) {
      for (const Census::Cohort& cohort : history_.census_at_end().cohorts_of(site)) {
        iterations[cohort.generation].end_bytes += cohort.bytes;
        iterations[cohort.generation].end_blocks += cohort.blocks;
      }
      if (censuses == 0)
        continue;
      for (const Census::Cohort& cohort : history_.census(censuses - 1).cohorts_of(site)) {
        Iteration& iteration = iterations[cohort.generation];
        iteration.survivor_bytes += cohort.bytes;
        iteration.survivor_blocks += cohort.blocks;
        auto& list = shares[cohort.generation];
        if (list.empty() || list.back().group != i)
          list.push_back({i, 0, 0});
        list.back().bytes += cohort.bytes;
        list.back().blocks += cohort.blocks;
      }
    }
  }
  // Nothing was there at the last boundary of what was born after it.
  iterations.back().survivor_bytes = iterations.back().end_bytes;
  iterations.back().survivor_blocks = iterations.back().end_blocks;
  for (size_t g = 0; g <= boundaries; ++g) {
    std::stable_sort(shares[g].begin(), shares[g].end(),
                     [](const Iteration::Share& a, const Iteration::Share& b) { return a.bytes > b.bytes; });
    shares[g].resize(std::min(shares[g].size(), top));
    iterations[g].top = std::move(shares[g]);
  }
  return iterations;
}

std::vector<GrowingPlace> growing_places(const GrowthAnalysis& analysis,
                                         const std::vector<SiteGroup>& groups) {
  std::vector<GrowingPlace> places;
  for (uint32_t i = 0; i < groups.size(); ++i) {
    if (groups[i].numbers.allocation_calls < kFewestGrownBlocks)
      continue;
    Growth growth = analysis.judge_group(groups[i].sites);
    if (growth.verdict == GrowthVerdict::growing)
      places.push_back({i, std::move(growth)});
  }
  std::stable_sort(places.begin(), places.end(), [](const GrowingPlace& a, const GrowingPlace& b) {
    return a.growth.confidence != b.growth.confidence
               ? a.growth.confidence > b.growth.confidence
               : a.growth.bytes_per_second.estimate > b.growth.bytes_per_second.estimate;
  });
  return places;
}

} // namespace hl
