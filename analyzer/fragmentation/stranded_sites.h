// Stranded bytes of a heap at one sample, by the sites whose blocks keep the pages: the account and the
// charges that FragmentationStudy tells, for callers that want nothing else of it.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "reader/memory_samples.h"
#include "replay/replay.h"

namespace hl {

// Of larger heaps nothing is told: their blocks would take hundreds of MiB.
inline constexpr uint64_t kMostBlocksForStranded = 4u << 20;

// What a replay must note for it.
ReplayOptions stranded_options(const Trace& trace);

// By site of the replay, which stands at the sample; adds up to the stranded bytes. nullopt: the sample does
// not tell which pages are resident, or the heap is too large.
std::optional<std::vector<uint64_t>> stranded_by_site(const Trace& trace, const ResidencySample& sample,
                                                      const Replay& replay);

} // namespace hl
