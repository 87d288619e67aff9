// The moments at which a trace knows the memory of its process (full samples, memory_samples.h), and the heap
// as it was then: what the map, the ledger and fragmentation look at.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "analyses/heap_replay.h"
#include "analyses/moment.h"
#include "reader/memory_samples.h"

namespace hl {

// The sample that tells about a moment: exit, the one taken right before the end, without it the last one; a
// mark, the one that was taken for it; else the nearest in time (of equally near ones the earlier). `limits`
// as resolve_moment() gave them. nullopt: there are none.
std::optional<size_t> sample_for(std::span<const ResidencySample> listed, const Moment& moment,
                                 const ReplayLimits& limits);

// The one with most resident memory, of equal ones the first; nullopt: there are none.
std::optional<size_t> largest_sample(std::span<const ResidencySample> listed);

// What to do about it, in words, where a trace has no samples at all.
std::string why_no_samples(const Trace& trace);

// At most `most` of them, spread over time; those at the ends, the largest (rss) and `always` are among them.
std::vector<size_t> spread_samples(std::span<const ResidencySample> listed, size_t most,
                                   std::optional<size_t> always = {});

// Replays the trace once and stops at each of these samples (indices into `listed`, ascending): `visit(index,
// sample, replay)` with the whole sample and the heap as of its ticks. A sample that turns out damaged is
// passed over. The result stands at the end of the trace, or behind the last sample if `to_the_end` is false.
using SampleVisitor = std::function<void(size_t index, const ResidencySample& sample, const Replay& replay)>;
HeapReplay replay_samples(const Trace& trace, std::span<const ResidencySample> listed,
                          std::span<const size_t> chosen, const SampleVisitor& visit, bool to_the_end,
                          const ProgressCallback& progress, ReplayOptions options = {});

} // namespace hl
