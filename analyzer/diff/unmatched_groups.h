// What to make of sites without a partner, where both runs have such sites and their numbers cancel:
//
//   - reshaped: below one caller, in functions that both runs have. It may be the same code in another shape
//     (inlined, cut by a tail call): their sums are compared at the deepest common caller.
//   - elsewhere: one function that both runs called, reached by other callers. A pool that takes memory from
//     malloc page by page does so below whoever comes when a page is full: the least difference moves that to
//     another stack. Their sums are compared at the function.
//
// They cancel if calls or bytes of the lesser side are a quarter of the greater's at least: a few calls
// beside many are two things. Within one build code has one shape: there `elsewhere` comes first.
#pragma once

#include <vector>

#include "diff/run_diff.h"

namespace hl {

// Sets DiffSite::ambiguous and other_work of `sites`, which are those of `diff`. Most bytes first.
std::vector<UnmatchedGroup> group_unmatched(const RunDiff& diff, std::vector<DiffSite>& sites);

} // namespace hl
