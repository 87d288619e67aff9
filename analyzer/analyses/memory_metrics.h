// The numbers with names that come from the recorder's samples of the process's memory.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "analyses/metrics.h"
#include "reader/memory_samples.h"

namespace hl {

// Readings of the kernel's counters, those of memory maps among them, by time. Reads all chunks of samples.
std::vector<UsageSample> memory_readings(const Trace& trace);

// Without a value where the trace has no samples that tell. Of the whole recording but for what `result`
// says: when the live heap peaked.
std::vector<Metric> memory_metrics(const Trace& trace, const ReplayResult& result,
                                   const std::vector<UsageSample>& readings);

// The one that `rss_at_peak` is: most resident memory sampled in the second after the live heap's peak,
// without such a sample the last before it.
std::optional<uint64_t> rss_at_peak(const Trace& trace, const ReplayResult& result,
                                    const std::vector<UsageSample>& readings);

// Most resident memory of the process: VmHWM, or a sample that found more. The kernel counts in batches of
// some pages a processor, so the two differ by that. None without VmHWM.
std::optional<uint64_t> most_resident_bytes(const Trace& trace, const std::vector<UsageSample>& readings);

} // namespace hl
