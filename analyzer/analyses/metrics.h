// The numbers of a trace that have a name: what `metrics` lists, what --max limits, what a diff compares.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "analyses/heap_replay.h"

namespace hl {

enum class MetricUnit : uint8_t { count, bytes, nanoseconds };

struct Metric {
  std::string name;
  std::optional<uint64_t> value; // nothing: this trace does not tell
  MetricUnit unit;
  std::string meaning;
};

std::vector<Metric> metrics_of(const Trace& trace, const HeapReplay& heap);

struct Limit {
  std::string metric;
  uint64_t value;
};
// METRIC=VALUE. Values: a number, with k, M, G, T (1024) or KiB, MiB, GiB, TiB, or ns, us, ms, s, m, h.
std::optional<Limit> parse_limit(std::string_view text);

struct LimitOutcome {
  Limit limit;
  uint64_t value;
  bool exceeded;
};
// Checks all; a metric that is unknown or has no value here goes to `unusable`.
std::vector<LimitOutcome> check_limits(const std::vector<Limit>& limits, const std::vector<Metric>& metrics,
                                       std::vector<std::string>& unusable);

} // namespace hl
