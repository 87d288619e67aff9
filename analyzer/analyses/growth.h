// Which sites grow without bound, told from caches, pools and warm-up by generations.
//
// Only settled blocks are looked at: those that have outlived the generation they were born in, so that what
// is in flight at a boundary does not count. Sites grow if, in the judged part of the run (without its
// warm-up and its end):
//   - their settled blocks and bytes have a trend upward: the confidence interval of the Theil-Sen slope (P.
//   K.
//     Sen, Estimates of the regression coefficient based on Kendall's tau, JASA 63, 1968) lies above zero;
//   - most generations left survivors, the oldest as well as the youngest;
//   - the oldest cohorts have stopped dying: what of them was there at three quarters is there at the end.
// A cache fails the third (or, if it turns over quickly, the second), a pool or a table that doubles fails
// the second, what fills once fails the first. What passes them all but grows ever more slowly may be a cache
// that has not filled up yet: growing, with low confidence. Whoever gives an alarm should do so only with
// high. False alarms are taken to be worse than misses throughout.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "analyses/generations.h"
#include "analyses/heap_report.h"
#include "reader/trace_clock.h"

namespace hl {

enum class GrowthVerdict : uint8_t {
  none,      // nothing that stays, or nothing clear
  too_short, // the run, or what these sites did in it, is too little to tell
  growing,
  plateau,  // grew, then stopped and holds what it has
  bounded,  // keeps its size while its blocks are replaced: a cache, a queue, a ring
  one_time, // all of it comes from the warm-up and stayed as it was
  falling,
};
std::string_view to_string(GrowthVerdict verdict);

enum class GrowthConfidence : uint8_t { low, high };
std::string_view to_string(GrowthConfidence confidence);

// A slope with the ends of its 95 % confidence interval.
struct Slope {
  double estimate = 0, low = 0, high = 0;
};
// Of y over x (ascending): the median of the slopes of all pairs; the interval holds the slopes of ranks
// (N - c) / 2 and (N + c) / 2 + 1 of N, c = 1.96 sqrt(n (n - 1) (2 n + 5) / 18) (Sen 1968, without his
// correction for ties, which would only narrow it). Fewer than two distinct x: all zero.
Slope theil_sen(std::span<const double> x, std::span<const double> y);

struct Growth {
  GrowthVerdict verdict = GrowthVerdict::none;
  GrowthConfidence confidence = GrowthConfidence::low; // of `growing`; high otherwise
  std::string reason;     // of low confidence or too_short, a clause; may be empty
  Slope bytes_per_second; // of settled bytes
  Slope bytes_per_generation;
  Slope blocks_per_generation;
  uint64_t since_ns =
      0; // plateau, bounded: since when (of the trace's time); growing: the first survivor's birth
  // By generation, all of them: live bytes at its end; the last one: at the end of the replay.
  std::vector<uint64_t> live_bytes, live_blocks;
  // Born in that generation and still there at the last boundary; the last generation: at the end of the
  // replay.
  std::vector<uint64_t> survivor_blocks, survivor_bytes;
  double share_with_survivors = 0; // of the judged generations
  // Cohorts of the oldest third of the judged generations: there at three quarters of them, and dead at their
  // end.
  uint64_t oldest_blocks = 0, oldest_deaths = 0;
  // Sites that grow by themselves while their group as a whole does not tell; then the numbers above are
  // theirs alone. Empty: the numbers are those of all sites asked for.
  std::vector<uint32_t> through_sites;

  bool alarming() const { return verdict == GrowthVerdict::growing && confidence == GrowthConfidence::high; }
};

class GrowthAnalysis {
 public:
  // All must outlive it. The replay was made with history_options(generations, ...).
  GrowthAnalysis(const Generations& generations, const Replay& replay, const TraceClock& clock);

  // Of one site, or of some taken together.
  Growth judge(std::span<const uint32_t> sites) const;
  Growth judge(uint32_t site) const { return judge(std::span(&site, 1)); }
  // Of a group: as judge(), and where that does not say growing, its sites one by one.
  Growth judge_group(std::span<const uint32_t> sites) const;

  const Generations& generations() const { return generations_; }
  const HeapHistory& history() const { return history_; }

  // "What stayed after each iteration".
  struct Iteration {
    std::string name;
    uint64_t start_ns = 0, end_ns = 0;
    uint64_t live_bytes = 0, live_blocks = 0;         // at its end
    uint64_t allocation_calls = 0;                    // in it
    uint64_t survivor_bytes = 0, survivor_blocks = 0; // born in it, there at the last boundary
    uint64_t end_bytes = 0, end_blocks = 0;           // born in it, there at the end of the replay
    struct Share {
      uint32_t group; // index of the groups asked with
      uint64_t bytes, blocks;
    };
    std::vector<Share> top; // of the survivors, most bytes first
  };
  std::vector<Iteration> iterations(const std::vector<SiteGroup>& groups, size_t top) const;

 private:
  struct Series;
  Series series_of(std::span<const uint32_t> sites) const;
  Growth judge_series(const Series& series) const;
  // `survivors` by generation of birth; judged are the generations from first_judged + 1 on.
  bool slows_down(const std::vector<uint64_t>& survivors, size_t first_judged) const;

  const Generations& generations_;
  const Replay& replay_;
  const HeapHistory& history_;
  const TraceClock& clock_;
  std::vector<double> boundary_seconds_;
  std::vector<double> boundary_calls_;
};

// Places that grow, those with high confidence first, then the fastest.
struct GrowingPlace {
  uint32_t group; // index into the groups asked about
  Growth growth;
};
std::vector<GrowingPlace> growing_places(const GrowthAnalysis& analysis,
                                         const std::vector<SiteGroup>& groups);

} // namespace hl
