// Sites of a diff put together as people look for them: by the function of the program's own code that they
// are named after. New, gone and changed sites of one function are different places.
#pragma once

#include <cstdint>
#include <vector>

#include "diff/run_diff.h"

namespace hl {

enum class PlaceKind : uint8_t {
  added,     // every site is certainly new
  removed,   // every site is certainly gone
  changed,   // sites that both runs have
  reshaped,  // an UnmatchedGroup: sites of both runs that cannot be paired one by one, below one caller
  elsewhere, // an UnmatchedGroup: one function, reached by other callers
};

struct DiffPlace {
  PlaceKind kind = PlaceKind::changed;
  RunDiff::Place named{}; // reshaped: the common caller; elsewhere: the function
  MetricValues base, next;
  std::vector<uint32_t> sites;         // indices into RunDiff::sites(), the greatest change first
  MatchTier weakest = MatchTier::none; // changed: the least certain match among them
  double score = 1;                    // of a fuzzy one, the lowest
};

// The greatest change of the chosen measure first; without those in which nothing changed.
std::vector<DiffPlace> diff_places(const RunDiff& diff);
// The change of a place in a measure.
double place_delta(const RunDiff& diff, ProfileMetric metric, const DiffPlace& place);

} // namespace hl
