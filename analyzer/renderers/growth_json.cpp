// Growth and missing frees as JSON: the keys are a contract (docs/json.md). See growth_text.h.
#include <algorithm>

#include "renderers/growth_text.h"

namespace hl {
namespace {

std::string_view name_of(GenerationOption::Kind kind) {
  switch (kind) {
  case GenerationOption::Kind::marks:
    return "marks";
  case GenerationOption::Kind::allocations:
    return "allocations";
  case GenerationOption::Kind::time:
  case GenerationOption::Kind::automatic:
    break;
  }
  return "time";
}

void write_numbers(std::string_view name, const std::vector<uint64_t>& numbers, JsonWriter& json) {
  json.key(name).begin_array();
  for (const uint64_t number : numbers)
    json.value(number);
  json.end_array();
}

void write_text(std::string_view name, std::string_view text, JsonWriter& json) {
  json.key(name);
  if (text.empty())
    json.null();
  else
    json.value(text);
}

} // namespace

void growth_json(const Growth& growth, JsonWriter& json) {
  json.begin_object()
      .member("verdict", to_string(growth.verdict))
      .member("confidence", to_string(growth.confidence))
      .member("bytes_per_second", growth.bytes_per_second.estimate)
      .member("low", growth.bytes_per_second.low)
      .member("high", growth.bytes_per_second.high)
      .member("bytes_per_generation", growth.bytes_per_generation.estimate)
      .member("blocks_per_generation", growth.blocks_per_generation.estimate)
      .member("since_ns", growth.since_ns)
      .member("generations_with_survivors", growth.share_with_survivors)
      .member("oldest_blocks", growth.oldest_blocks)
      .member("oldest_deaths", growth.oldest_deaths);
  write_text("reason", growth.reason, json);
  write_numbers("live_bytes", growth.live_bytes, json);
  write_numbers("survivors", growth.survivor_blocks, json);
  write_numbers("survivor_bytes", growth.survivor_bytes, json);
  json.end_object();
}

void generations_json(const std::vector<GrowthAnalysis::Iteration>& iterations,
                      const Generations& generations, const std::vector<SiteGroup>& groups,
                      JsonWriter& json) {
  json.begin_object().member("kind", name_of(generations.kind));
  write_text("mark", generations.mark, json);
  json.member("marks_per_generation", generations.marks_per_generation)
      .member("description", generations.description)
      .member("judged_from", uint64_t{generations.warm_up} + 1)
      .member("judged_to", uint64_t{std::max<size_t>(generations.boundaries.size(), 1) - 1});
  write_text("too_short", generations.too_short, json);
  json.key("generations").begin_array();
  for (const GrowthAnalysis::Iteration& iteration : iterations) {
    json.begin_object()
        .member("name", iteration.name)
        .member("start_ns", iteration.start_ns)
        .member("time_ns", iteration.end_ns)
        .member("live_bytes", iteration.live_bytes)
        .member("live_blocks", iteration.live_blocks)
        .member("allocation_calls", iteration.allocation_calls)
        .member("survivor_bytes", iteration.survivor_bytes)
        .member("survivor_blocks", iteration.survivor_blocks)
        .member("end_bytes", iteration.end_bytes)
        .member("end_blocks", iteration.end_blocks);
    json.key("top").begin_array();
    for (const GrowthAnalysis::Iteration::Share& share : iteration.top) {
      const SiteGroup& group = groups[share.group];
      json.begin_object().member("function", group.function);
      write_text("file", group.file, json);
      json.key("line");
      if (group.line == 0)
        json.null();
      else
        json.value(group.line);
      json.member("bytes", share.bytes).member("blocks", share.blocks).end_object();
    }
    json.end_array().end_object();
  }
  json.end_array().end_object();
}

void missing_free_json(const MissingFree& missing, const std::vector<ThreadTotals>& threads,
                       JsonWriter& json) {
  json.begin_object()
      .member("survivors", missing.survivors)
      .member("freed_blocks", missing.freed_blocks)
      .member("free_stacks", missing.free_stacks_known);
  json.key("freed_by").begin_array();
  for (const FreedBy& by : missing.freed_by) {
    json.begin_object().member("function", by.function);
    write_text("file", by.file, json);
    json.key("line");
    if (by.line == 0)
      json.null();
    else
      json.value(by.line);
    json.member("realloc", by.through_realloc)
        .member("blocks", by.blocks)
        .member("bytes", by.bytes)
        .end_object();
  }
  json.end_array();
  json.member("freed_otherwise", missing.freed_otherwise);
  json.key("distinction");
  const Distinction& found = missing.distinction;
  if (found.kind == Distinction::Kind::none) {
    json.null();
  } else {
    json.begin_object()
        .member("kind", to_string(found.kind))
        .member("share_of_survivors", found.share_of_survivors)
        .member("share_of_freed", found.share_of_freed);
    if (found.kind == Distinction::Kind::function)
      json.member("function", found.function);
    if (found.kind == Distinction::Kind::thread)
      json.member("tid", found.thread < threads.size() ? threads[found.thread].tid : 0u);
    if (found.kind == Distinction::Kind::size)
      json.member("from_bytes", found.from_bytes).member("to_bytes", found.to_bytes);
    if (found.kind == Distinction::Kind::period)
      json.member("from_ns", found.from_ns).member("to_ns", found.to_ns);
    json.end_object();
  }
  write_text("sentence", missing_free_sentence(missing, threads, TextStyle{}), json);
  write_text("hint", missing_free_hint(missing), json);
  json.end_object();
}

} // namespace hl
