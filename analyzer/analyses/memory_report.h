// What `map` answers: the regions of a process at one sample of its memory, what each category of them did
// over all samples, and the same numbers in the words of other tools.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "analyses/memory_moment.h"
#include "memory_map/app_summary.h"
#include "memory_map/categories.h"
#include "reader/memory_samples.h"

namespace hl {

struct MemorySample {
  uint64_t ticks = 0, end_ticks = 0;
  SampleCause cause = SampleCause::unknown;
  std::string name; // of the mark or request
  bool consistent = false, has_pages = false;
  uint64_t cost_ns = 0; // recorder's CPU time
  UsageValues usage;
  VmaNumbers total;
  Categories categories;
};

struct MemoryReport {
  std::vector<MemorySample> samples; // oldest first
  size_t chosen = 0;                 // the one that the rest is about
  size_t left_out = 0;               // samples the trace has beside
  uint64_t wanted_ticks = 0;         // the moment asked for; 0: the last sample, whenever it was
  RegionMap map;
  AppSummary app;
  AppleWords apple;
  // By the kernel's count, else at least, from the pages there; 0: not known.
  uint64_t page_table_bytes = 0;
  bool page_tables_counted = false;
  // Swap that is the process's alone: shared memory that was swapped out is in `Swap` of smaps and counts for
  // nobody.
  uint64_t private_swap_bytes = 0;
  std::vector<UsageSample> usage; // the kernel's counters over the whole recording
  const MemorySample& sample() const { return samples[chosen]; }
};

// From a saved smaps text. nullopt: there is no mapping in it.
std::optional<MemoryReport> report_on_smaps(std::string smaps);

struct TracedMemory {
  MemoryReport report;
  HeapReplay heap; // at the end of the trace
};
struct SampleChoice {
  Moment moment;
  ReplayLimits limits;  // of the moment, resolved
  bool largest = false; // instead of the moment: the sample with most resident memory
  size_t most = 64;     // samples to look at
};
// nullopt: the trace has no whole sample (see why_no_samples()).
std::optional<TracedMemory> report_on_trace(const Trace& trace, const SampleChoice& choice,
                                            const ProgressCallback& progress);

// Call sites of the report's regions, for the resolver.
std::vector<StackId> mapping_stacks(const MemoryReport& report, const ReplayResult& result);

} // namespace hl
