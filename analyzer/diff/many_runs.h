// Several runs of each of two builds: which differences are more than what runs of one build differ by among
// themselves.
//
// The runs of a side are put together by identical stacks (they are runs of one build; where the build-id
// differs, by matching) into one profile that holds medians, so that everything that compares two profiles
// works on many runs as well. What the single runs had is kept beside it, and judged:
//
//   - A measure in which every site and the total agree in all runs of a side is exact: any difference
//   counts.
//   - Elsewhere the rank sum test decides, over the family of all sites that could reach the floor at all
//     (told from the values of both sides without their labels, so the test stays valid), with q < 0.05. The
//     shift must pass the floor, 1 % and 64 KiB (counts: 1 % and 16), and be more than the spread within
//     either side, of fewer than ten runs twice the spread.
//   - A site whose own values agree on each side, three runs or more a side, is exact above the floor.
//   - Where the runs are too few for p < 0.05, that is the answer.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "diff/run_diff.h"
#include "diff/statistics.h"

namespace hl {

inline constexpr double kFalseDiscoveryRate = 0.05;
inline constexpr double kFloorShare = 0.01;
inline constexpr size_t kRunsThatKnowTheirSpread = 10;
inline constexpr double kFloorBytes = 65536, kFloorCount = 16;

// The runs of one side as one.
class RunSet {
 public:
  // At least one run. `per`: flows are divided by how often each run set this mark; empty: by nothing. Throws
  // std::invalid_argument where a run has no such mark; `name` is the side's, for that text.
  RunSet(std::vector<RunProfile> runs, const std::string& per, const std::string& name);

  size_t runs() const { return uuids_.size(); }
  // Sites of any of the runs; metrics and mark counts are medians, rounded.
  const RunProfile& median() const { return median_; }
  // Of each run, in the order they were given: a total, and a site of median(); 0 where it has none.
  std::vector<double> totals(ProfileMetric metric) const;
  double site(size_t run, uint32_t site, ProfileMetric metric) const;
  const std::vector<std::string>& uuids() const { return uuids_; }

 private:
  void put_together(const RunProfile& run, size_t number);
  double scale(size_t run, ProfileMetric metric) const {
    return facts(metric).flow ? 1 / static_cast<double>(units_[run]) : 1;
  }

  RunProfile median_;
  std::vector<std::string> uuids_;
  std::vector<uint64_t> units_;                        // by run
  std::vector<MetricValues> run_totals_;               // by run
  std::vector<std::vector<MetricValues>> site_values_; // by run, then site; may be shorter
};

enum class ShiftVerdict : uint8_t {
  same,      // all values agree
  grew,      // certainly
  shrank,    // certainly
  noise,     // no more than runs of one side differ by
  small,     // perhaps real, but below the floor
  undecided, // too few runs to tell
};
std::string_view to_string(ShiftVerdict verdict);

struct SideSummary {
  double median = 0, low = 0, high = 0; // of the runs
};

struct ShiftOfRuns {
  SideSummary base, next;
  Shift shift;
  bool exact = false; // compared exactly; p and q mean nothing
  bool tested = false;
  double p = 1, q = 1;
  ShiftVerdict verdict = ShiftVerdict::same;
  bool told() const { return verdict == ShiftVerdict::grew || verdict == ShiftVerdict::shrank; }
};

class ManyRuns {
 public:
  // `diff` compares base.median() with next.median(); all must outlive it.
  ManyRuns(const RunSet& base, const RunSet& next, const RunDiff& diff);

  const RunSet& side(Side which) const { return which == kBase ? base_ : next_; }
  const RunDiff& diff() const { return diff_; }
  // Of a metric that diff().has().
  const ShiftOfRuns& total(ProfileMetric metric) const { return totals_[static_cast<size_t>(metric)]; }
  // Of a metric that diff().has_for_sites() and an index into diff().sites().
  const ShiftOfRuns& site(ProfileMetric metric, size_t index) const {
    return sites_[static_cast<size_t>(metric)][index];
  }
  // Whether a measure is exact: neither side's runs differ in it anywhere, and there are two of each at
  // least.
  bool exact(ProfileMetric metric) const { return exact_[static_cast<size_t>(metric)]; }
  // Whether p can get below 0.05 at all.
  bool enough() const { return smallest_p(base_.runs(), next_.runs()) < kFalseDiscoveryRate; }

 private:
  void judge_totals();
  void judge_sites(ProfileMetric metric);

  const RunSet& base_;
  const RunSet& next_;
  const RunDiff& diff_;
  std::array<ShiftOfRuns, kProfileMetrics> totals_{};
  std::array<std::vector<ShiftOfRuns>, kProfileMetrics> sites_;
  std::array<bool, kProfileMetrics> exact_{};
};

} // namespace hl
