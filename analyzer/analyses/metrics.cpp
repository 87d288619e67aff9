// See metrics.h.
#include "analyses/metrics.h"

#include <charconv>
#include <cmath>

#include "analyses/memory_metrics.h"

namespace hl {

std::vector<Metric> metrics_of(const Trace& trace, const HeapReplay& heap) {
  const ReplayResult& result = heap.result();
  const TraceMetadata& metadata = trace.metadata();
  const std::vector<UsageSample> readings = memory_readings(trace);
  uint64_t sites = 0, threads = 0;
  for (const SiteTotals& site : result.sites)
    sites += site.allocation_calls != 0 ? 1 : 0;
  for (const ThreadTotals& thread : result.threads)
    threads += thread.allocation_calls + thread.free_calls != 0 ? 1 : 0;
  const auto status = [&](uint64_t value) {
    return metadata.has_status && value != 0 ? std::optional(value) : std::nullopt;
  };
  using enum MetricUnit;
  std::vector<Metric> metrics = {
      {"allocation_calls", result.allocation_calls, count,
       "malloc, calloc, memalign..., and each realloc that returned a block"},
      {"free_calls", result.free_calls, count,
       "free of a block, realloc(p, 0), and each realloc of a block that succeeded"},
      {"bytes_requested", result.bytes_requested, bytes, "requested by all allocation calls together"},
      {"peak_bytes", result.peak_bytes, bytes, "most live requested bytes"},
      {"peak_blocks", result.peak_blocks, count, "live blocks at that moment"},
      {"peak_time", result.peak_step == 0 ? 0 : trace.clock().ns(result.peak_ticks), nanoseconds,
       "when that was, since the start"},
      {"exit_bytes", result.live_bytes, bytes, "not freed at the end"},
      {"exit_blocks", result.live_blocks, count, "blocks not freed at the end"},
      {"temporary_allocations", result.temporary, count,
       "freed by their thread before it allocated anything else"},
      {"realloc_calls", result.reallocs.calls, count, "reallocs of a block"},
      {"realloc_bytes_copied", result.reallocs.bytes_copied, bytes, "moved by reallocs, at most"},
      {"longest_realloc_chain", result.longest_chain, count, "reallocs of one block"},
      {"allocation_sites", sites, count, "distinct stacks that allocated"},
      {"threads", threads, count, "threads that allocated or freed"},
      {"map_calls", result.mappings.totals().map_calls, count, "mmap calls of the program"},
      {"mapped_peak_bytes", result.mappings.totals().peak_bytes, bytes, "most bytes mapped by them at once"},
      {"mapped_exit_bytes", result.mappings.totals().mapped_bytes, bytes, "of them mapped at the end"},
      {"unknown_frees", result.unknown_frees, count, "frees of blocks whose allocation is not in the trace"},
      {"missed_frees", result.implicit_frees, count,
       "allocations where a block was live: its free was not seen"},
      {"lost_events", heap.lost.total(), count, "events that could not be recorded or read"},
      {"duration", duration_ns(trace, result.last_ticks), nanoseconds,
       "from the start of the recording to its end"},
      {"peak_rss_bytes", most_resident_bytes(trace, readings), bytes,
       "most resident memory of the process (VmHWM)"},
      {"user_time", status(metadata.status.user_ns), nanoseconds, "CPU time of the process in user mode"},
      {"system_time", status(metadata.status.system_ns), nanoseconds,
       "CPU time of the process in the kernel"},
      {"trace_bytes", trace.file_bytes(), bytes, "size of the trace file"},
  };
  const std::vector<Metric> memory = memory_metrics(trace, result, readings);
  metrics.insert(metrics.end(), memory.begin(), memory.end());
  return metrics;
}

std::optional<Limit> parse_limit(std::string_view text) {
  const size_t equals = text.find('=');
  if (equals == std::string_view::npos || equals == 0)
    return {};
  Limit limit{std::string(text.substr(0, equals)), 0};
  text.remove_prefix(equals + 1);
  double value = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || !(value >= 0))
    return {};
  const std::string_view number = text.substr(0, static_cast<size_t>(rest - text.data()));
  const std::string_view unit = text.substr(number.size());
  static constexpr struct {
    std::string_view name;
    double scale;
  } kUnits[] = {{"", 1},
                {"B", 1},
                {"k", 1024.0},
                {"K", 1024.0},
                {"KiB", 1024.0},
                {"M", 1048576.0},
                {"MiB", 1048576.0},
                {"G", 1073741824.0},
                {"GiB", 1073741824.0},
                {"T", 1099511627776.0},
                {"TiB", 1099511627776.0},
                {"kB", 1e3},
                {"MB", 1e6},
                {"GB", 1e9},
                {"TB", 1e12},
                {"ns", 1},
                {"us", 1e3},
                {"ms", 1e6},
                {"s", 1e9},
                {"m", 60e9},
                {"min", 60e9},
                {"h", 3600e9}};
  for (const auto& known : kUnits) {
    if (known.name != unit)
      continue;
    // Whole numbers exactly: a limit of 2^60 + 1 must not be rounded.
    uint64_t whole = 0;
    const auto [end, bad] = std::from_chars(number.data(), number.data() + number.size(), whole);
    if (bad == std::errc() && end == number.data() + number.size() && known.scale == 1) {
      limit.value = whole;
      return limit;
    }
    const double scaled = value * known.scale;
    if (!(scaled < 1.8e19))
      return {};
    limit.value = static_cast<uint64_t>(scaled);
    return limit;
  }
  return {};
}

std::vector<LimitOutcome> check_limits(const std::vector<Limit>& limits, const std::vector<Metric>& metrics,
                                       std::vector<std::string>& unusable) {
  std::vector<LimitOutcome> outcomes;
  for (const Limit& limit : limits) {
    const Metric* found = nullptr;
    for (const Metric& metric : metrics)
      if (metric.name == limit.metric)
        found = &metric;
    if (found == nullptr)
      unusable.push_back("there is no metric '" + limit.metric + "'");
    else if (!found->value)
      unusable.push_back("metric '" + limit.metric + "' has no value in this trace");
    else
      outcomes.push_back({limit, *found->value, *found->value > limit.value});
  }
  return outcomes;
}

} // namespace hl
