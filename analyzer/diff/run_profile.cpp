// See run_profile.h.
#include "diff/run_profile.h"

#include <algorithm>

namespace hl {

const std::array<ProfileMetricFacts, kProfileMetrics>& profile_metrics() {
  using enum ProfileMetric;
  static constexpr MetricUnit kCount = MetricUnit::count, kBytes = MetricUnit::bytes;
  static constexpr std::array<ProfileMetricFacts, kProfileMetrics> kFacts = {{
      {allocation_calls, "allocation_calls", "allocation calls", kCount, true, true, false},
      {bytes_requested, "bytes_requested", "bytes requested", kBytes, true, true, false},
      {peak_bytes, "peak_bytes", "peak", kBytes, true, false, false},
      {peak_blocks, "peak_blocks", "blocks at the peak", kCount, true, false, false},
      {exit_bytes, "exit_bytes", "at exit", kBytes, true, false, false},
      {exit_blocks, "exit_blocks", "blocks at exit", kCount, true, false, false},
      {temporary_allocations, "temporary_allocations", "temporary", kCount, true, true, false},
      {definite_bytes, "definite.bytes", "definitely lost", kBytes, true, true, false},
      {definite_blocks, "definite.blocks", "blocks definitely lost", kCount, true, true, false},
      {stranded_bytes, "stranded_bytes", "stranded", kBytes, true, false, true},
      {free_calls, "free_calls", "free calls", kCount, false, true, false},
      {peak_rss_bytes, "peak_rss_bytes", "most resident (RSS)", kBytes, false, false, true},
      {rss_at_peak_bytes, "rss_at_peak_bytes", "RSS at the peak", kBytes, false, false, true},
  }};
  return kFacts;
}

std::optional<ProfileMetric> parse_profile_metric(std::string_view name) {
  for (const ProfileMetricFacts& known : profile_metrics())
    if (known.name == name)
      return known.metric;
  return {};
}

uint64_t RunProfile::mark_count(std::string_view name) const {
  for (const Mark& mark : marks)
    if (mark.name == name)
      return mark.count;
  return 0;
}

std::vector<uint32_t> RunProfile::stack(uint32_t node) const {
  std::vector<uint32_t> result;
  for (; node != 0; node = nodes[node].parent)
    result.push_back(nodes[node].frame);
  return result;
}

uint32_t RunProfile::leading_frame(uint32_t node) const {
  uint32_t library = 0, no_allocator = 0;
  const uint32_t innermost = node == 0 ? 0 : nodes[node].frame;
  for (; node != 0; node = nodes[node].parent) {
    const uint32_t frame = nodes[node].frame;
    const uint8_t flags = frames[frame].flags;
    if (frames[frame].own())
      return frame;
    if (library == 0 && (flags & kFrameLibrary) != 0)
      library = frame;
    if (no_allocator == 0 && (flags & (kFrameAllocator | kFrameMarker)) == 0)
      no_allocator = frame;
  }
  return library != 0 ? library : no_allocator != 0 ? no_allocator : innermost;
}

} // namespace hl
