// Pairs sites whose stacks have equal names and differ in lines alone: two calls of one function in another.
//
// Both sides in the order of their lines; pairs keep that order. A pair of sites with like numbers counts for
// more than two pairs of unlike ones, so that a call that was added between two others is left over and not
// the last one.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "diff/run_profile.h"

namespace hl {

struct LinedSite {
  uint32_t site = 0;
  std::vector<uint32_t> lines; // outermost first
  const MetricValues* metrics = nullptr;
};

// How close calls and bytes of two sites are: 0 ... 1.
double alike_numbers(const MetricValues& a, const MetricValues& b);

class LinePairing {
 public:
  LinePairing(std::vector<LinedSite> base, std::vector<LinedSite> next);

  // The numbers of sites differ and their sums do not: the compiler told the lines apart in another way.
  bool merged() const { return merged_; }
  const std::vector<std::pair<uint32_t, uint32_t>>& pairs() const { return pairs_; } // base, new

 private:
  void align();
  void pair_in_order();

  std::vector<LinedSite> base_, next_;
  bool merged_ = false;
  std::vector<std::pair<uint32_t, uint32_t>> pairs_;
};

} // namespace hl
