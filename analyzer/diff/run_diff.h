// Two runs compared: totals, every site with how it changed, and what could not be paired.
//
// A site that has no partner is `removed` or `added`. Where such sites of both runs cancel, they are put
// together and told apart from what is certainly new or gone (unmatched_groups.h).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "diff/compared_names.h"
#include "diff/site_matching.h"

namespace hl {

enum class SiteStatus : uint8_t { added, removed, grew, shrank, same };
std::string_view to_string(SiteStatus status);

struct DiffOptions {
  ProfileMetric by = ProfileMetric::peak_bytes;
  double threshold = 0.6; // of fuzzy matches
  std::string per = {};   // a mark: flows are divided by how often each run set it; empty: by nothing
  // With `per`: what a site allocated as often in both runs, and less often than there were units, is set-up.
  // It is left out of the flows.
  bool leave_out_set_up = true;
};

struct DiffSite {
  SiteStatus status = SiteStatus::same; // by the chosen measure; if that is equal, by the first that is not
  MatchTier match = MatchTier::none;
  double score = 1;
  bool ambiguous = false;  // added or removed, but part of an UnmatchedGroup
  bool other_work = false; // added or removed, and its stack has a function that the other run never called
  bool set_up = false;     // its flows are left out: they are no part of any unit
  std::vector<uint32_t> base_sites, new_sites; // indices into RunProfile::sites; empty: not there
  MetricValues base, next;                     // sums
};

enum class UnmatchedKind : uint8_t {
  reshaped,  // below one caller: perhaps the same code in another shape
  elsewhere, // one function that both runs called, by other callers
};

struct UnmatchedGroup {
  UnmatchedKind kind = UnmatchedKind::reshaped;
  uint32_t base_node =
      0;                 // of each profile. reshaped: the deepest common caller (0: the root); elsewhere: the
  uint32_t new_node = 0; // stack with most bytes
  uint32_t new_frame = 0; // what it is named after: index into the new profile's frames
  MetricValues base, next;
  std::vector<uint32_t> sites; // indices into RunDiff::sites()
};

class RunDiff {
 public:
  // The profiles and the map must outlive it. A mark of `per` that a run does not have: throws
  // std::invalid_argument, whose text says so.
  RunDiff(const RunProfile& base, const RunProfile& next, const RenameMap& renames, DiffOptions options);

  const RunProfile& profile(Side side) const { return names_.profile(side); }
  const ComparedNames& names() const { return names_; }
  const DiffOptions& options() const { return options_; }
  // Measures that both runs have: of the whole run; of each site.
  bool has(ProfileMetric metric) const;
  bool has_for_sites(ProfileMetric metric) const;

  // A number of one side as it is compared: a flow divided by the units of work.
  double value(Side side, ProfileMetric metric, const MetricValues& values) const;
  double value(Side side, ProfileMetric metric, uint64_t number) const;
  uint64_t units(Side side) const { return units_[side]; } // 1 without --per
  // Of the run, without what was set up once where that is left out; the sums of its sites.
  const MetricValues& totals(Side side) const { return totals_[side]; }
  // What was left out of a side: flows alone.
  const MetricValues& set_up(Side side) const { return set_up_[side]; }
  double delta(ProfileMetric metric, const DiffSite& site) const;
  double total_delta(ProfileMetric metric) const;

  // The greatest change first.
  const std::vector<DiffSite>& sites() const { return sites_; }
  // Most bytes first.
  const std::vector<UnmatchedGroup>& unmatched() const { return unmatched_; }
  const std::vector<RenameSuggestion>& renames() const { return renames_; }
  bool given_up() const { return given_up_; }

  // What of a side has no partner and belongs to functions that the other run never called.
  uint64_t other_work(Side side, ProfileMetric metric) const;
  // What of a side is paired by each tier, and not at all, in the given measure. By MatchTier.
  std::array<uint64_t, 4> matched_by_tier(Side side, ProfileMetric metric) const;
  // The measure that bytes without a partner are told in: the chosen one if it is bytes, else requested.
  ProfileMetric byte_metric() const;

  // The frame a site is named after: which side's, and its index.
  struct Place {
    Side side;
    uint32_t frame; // index into the profile's frames; 0: not known
    uint32_t node;  // of an example stack
  };
  Place place(const DiffSite& site) const;

 private:
  void take_out_set_up();
  void add_pairs(const SiteMatching& matching);
  void add_lonely(const SiteMatching& matching);
  void judge(DiffSite& site) const;

  ComparedNames names_;
  DiffOptions options_;
  uint64_t units_[2] = {1, 1};
  MetricValues totals_[2], set_up_[2];
  std::vector<DiffSite> sites_;
  std::vector<UnmatchedGroup> unmatched_;
  std::vector<RenameSuggestion> renames_;
  bool given_up_ = false;
};

} // namespace hl
