// Which sites of two runs are the same place in the program, although lines shifted, functions were inlined,
// renamed or built by another compiler.
//
// Compared are logical frames without allocator and runtime frames. In turn, from the strictest on, sites are
// paired whose stacks are equal in whole names, files and modules (tier `exact`), then in canonical names
// (`canonical`; see canonical_name.h), then, of what is left, those whose stacks are most alike by alignment
// (`fuzzy`; see stack_alignment.h), never below the threshold. Several sites with equal stacks (they differ
// in lines alone) are paired in the order of their lines, those with like numbers first. What remains stays
// unmatched.
#pragma once

#include <string>
#include <vector>

#include "diff/compared_names.h"

namespace hl {

enum class MatchTier : uint8_t { none, exact, canonical, fuzzy };
std::string_view to_string(MatchTier tier);

// Usually one site each. More where the code of one place was split or merged so that its lines differ, or a
// recursion became a loop, and the sums of both sides are equal.
struct SitePair {
  std::vector<uint32_t> base, next; // indices into RunProfile::sites
  MatchTier tier = MatchTier::none;
  double score = 1; // fuzzy: how alike, threshold ... 1
};

struct RenameSuggestion {
  std::string base, next; // canonical names
  uint32_t sites = 0;     // that it would pair by name
  uint64_t bytes = 0;     // requested by them, in the newer run
};

struct SiteMatching {
  std::vector<SitePair> pairs;
  std::vector<uint32_t> only_base, only_new;
  std::vector<RenameSuggestion> renames; // most bytes first
  // More sites were left than can be compared with each other; the heaviest were.
  bool given_up = false;
};

struct MatchOptions {
  double threshold = 0.6;
  ProfileMetric by = ProfileMetric::peak_bytes; // what is compared first where not all can be
};

SiteMatching match_sites(const ComparedNames& names, const MatchOptions& options);

// The frames that are compared, innermost first: those of the program and of libraries; all where there are
// none of these.
std::vector<uint32_t> compared_stack(const ComparedNames& names, Side side, uint32_t node);

} // namespace hl
