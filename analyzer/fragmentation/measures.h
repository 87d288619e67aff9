// Fragmentation in one number, each with its formula.
//
// Johnstone and Wilson, "The Memory Fragmentation Problem: Solved?" (ISMM 1998), compare the memory an
// allocator uses with the live memory the program requested. They mean memory obtained from the system; here
// it is the resident bytes of the allocator's regions, since only those cost anything. All are ratios: 1 is
// no waste, 2 is twice what was asked for.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "fragmentation/page_accounts.h"
#include "heapledger/trace_format.h"

namespace hl {

// The heap at one full sample.
struct HeapPoint {
  uint64_t ticks = 0;
  uint64_t live_bytes = 0, live_blocks = 0; // requested
  uint64_t footprint_bytes = 0;             // resident, of the allocator's regions
  SampleCause cause = SampleCause::unknown;
  bool consistent = false;
  std::optional<AccountBytes> accounts =
      {}; // where the live heap is small enough to split it at every sample
};

// Without value: no sample with anything live.
struct Measures {
  // (1) footprint / live at each sample, averaged over time: a sample stands for the time to halfway towards
  // its
  //     neighbours.
  std::optional<double> average;
  // (2) footprint / live at the sample with most live bytes.
  std::optional<double> at_peak_live;
  // (3) footprint / live at the sample with the greatest footprint.
  std::optional<double> at_peak_footprint;
  // (4) greatest footprint / most live bytes, whenever each was. `peak_live_bytes`: of the whole trace, not
  // of its
  //     samples alone.
  std::optional<double> peak_over_peak;
  size_t peak_live_point = 0, peak_footprint_point = 0; // indices
};
// `points` by time.
Measures measure(std::span<const HeapPoint> points, uint64_t peak_live_bytes);

// 1 - largest / total of the free addresses of a heap: how far the free memory is from being one piece. Says
// nothing of memory that costs; named here since it is what many mean by fragmentation.
std::optional<double> external_fragmentation(const PageAccounts& accounts);

} // namespace hl
