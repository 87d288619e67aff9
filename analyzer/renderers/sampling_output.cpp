// See sampling_output.h.
#include "renderers/sampling_output.h"

#include <cstdio>
#include <numeric>
#include <string_view>

#include "renderers/text_style.h"

namespace hl {
namespace {

constexpr std::string_view kKinds[] = {"statm", "rollup", "maps"};
constexpr std::string_view kCauses[] = {"unknown", "start", "periodic", "mark", "peak", "request", "exit"};

void by_kind(JsonWriter& json, std::string_view key, const uint64_t (&values)[3]) {
  json.key(key).begin_object();
  for (size_t i = 0; i < std::size(kKinds); ++i)
    json.member(kKinds[i], values[i]);
  json.end_object();
}

} // namespace

std::string sampling_words(const Trace& trace) {
  const TraceMetadata& metadata = trace.metadata();
  const size_t maps = trace.residency_chunks().size();
  if (!metadata.has_sampling)
    return maps == 0 ? "" : plural(maps, "memory map") + "; the recorder left no account of their cost";
  const SamplingPayload& s = metadata.sampling;
  char budget[32] = "none but on request";
  if (s.budget_millionths != 0)
    std::snprintf(budget, sizeof budget, "%g %% of a processor", s.budget_millionths / 1e4);
  return plural(maps, "memory map") + ", " + with_thousands(s.taken[1]) + " × rollup, " +
         with_thousands(s.taken[0]) + " × statm; cost " +
         human_ns(std::accumulate(std::begin(s.cpu_ns), std::end(s.cpu_ns), uint64_t{0})) + " CPU, budget " +
         budget;
}

std::vector<std::string> sampling_gaps(const Trace& trace) {
  std::vector<std::string> gaps;
  const SamplingPayload& s = trace.metadata().sampling;
  if (!trace.metadata().has_sampling)
    return gaps;
  static constexpr std::string_view kFiles[] = {"statm", "smaps_rollup", "smaps and pagemap"};
  for (size_t i = 0; i < std::size(kFiles); ++i)
    if (s.refused[i] != 0)
      gaps.push_back("the kernel did not permit to read its " + std::string(kFiles[i]) + " (" +
                     plural(s.refused[i], "time") + ")");
  for (size_t i = 0; i < std::size(kFiles); ++i)
    if (s.failed[i] != 0)
      gaps.push_back("its " + std::string(kFiles[i]) + " made no sense, or was too large (" +
                     plural(s.failed[i], "time") + ")");
  if (s.postponed != 0)
    gaps.push_back(plural(s.postponed, "mark") + " without a memory map: the budget did not allow it");
  if (s.not_written != 0)
    gaps.push_back(plural(s.not_written, "sample") + " lost: no room on the disk");
  return gaps;
}

void sampling_json(const Trace& trace, JsonWriter& json) {
  const SamplingPayload& s = trace.metadata().sampling;
  if (!trace.metadata().has_sampling) {
    json.null();
    return;
  }
  json.begin_object().member("budget_millionths", s.budget_millionths);
  json.member("maps_in_trace", uint64_t{trace.residency_chunks().size()});
  by_kind(json, "taken", s.taken);
  by_kind(json, "cost_ns", s.cpu_ns);
  by_kind(json, "refused", s.refused);
  by_kind(json, "failed", s.failed);
  json.key("causes").begin_object();
  for (size_t i = 0; i < std::size(kCauses); ++i)
    json.member(kCauses[i], s.causes[i]);
  json.end_object();
  json.member("postponed", s.postponed)
      .member("not_written", s.not_written)
      .member("own_unlisted_bytes", s.own_unlisted_bytes)
      .end_object();
}

} // namespace hl
