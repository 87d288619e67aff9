// `leaks --json`: the keys are a contract (docs/json.md), added to, never renamed.
#include "renderers/describe_trace.h"
#include "renderers/frames_json.h"
#include "renderers/growth_text.h"
#include "renderers/hex_text.h"
#include "renderers/leaks_output.h"

namespace hl {
namespace {

std::string_view name_of(ScanCause cause) {
  switch (cause) {
  case ScanCause::exit:
    return "exit";
  case ScanCause::abort:
    return "abort";
  case ScanCause::signal:
    return "signal";
  case ScanCause::program:
    return "program";
  case ScanCause::outside:
    return "outside";
  case ScanCause::unknown:
    break;
  }
  return "unknown";
}

std::string_view name_of(ScanWay way) {
  return way == ScanWay::stopped ? "stopped" : way == ScanWay::copy ? "copy" : "none";
}

void write_scan(const LeakScan& scan, const Trace& trace, JsonWriter& json) {
  const LeakScanPayload& facts = scan.facts;
  json.begin_object()
      .member("name", scan.name)
      .member("cause", name_of(static_cast<ScanCause>(facts.cause)))
      .member("way", name_of(static_cast<ScanWay>(facts.way)))
      .member("time_ns", facts.ticks == 0 ? 0 : trace.clock().ns(facts.ticks))
      .member("pause_ns", facts.pause_ns)
      .member("duration_ns", facts.duration_ns)
      .member("blocks", facts.block_count)
      .member("bytes", facts.block_bytes)
      .member("root_bytes", facts.root_bytes)
      .member("unreadable_bytes", facts.unreadable_bytes)
      .member("threads", facts.threads)
      .member("threads_inside", facts.threads_inside)
      .member("reason", scan.reason)
      .end_object();
}

void write_sum(std::string_view name, const BlockSum& sum, JsonWriter& json) {
  json.key(name).begin_object().member("bytes", sum.bytes).member("blocks", sum.blocks).end_object();
}

void write_site(const LeaksAnswer& answer, const LeakSite& site, JsonWriter& json) {
  const TraceClock& clock = answer.heap.trace.clock();
  const ReplayResult& result = answer.heap.heap.result();
  json.begin_object()
      .member("class", to_string(site.leak_class))
      .member("bytes", site.sum.bytes)
      .member("blocks", site.sum.blocks)
      .member("indirect_bytes", site.with.bytes)
      .member("indirect_blocks", site.with.blocks)
      .member("oldest_ns", clock.ns(site.oldest_ticks))
      .member("youngest_ns", clock.ns(site.youngest_ticks));
  json.key("threads").begin_array();
  for (const uint32_t thread : site.threads)
    json.value(thread < result.threads.size() ? result.threads[thread].tid : 0u);
  json.end_array();
  json.key("example")
      .begin_object()
      .member("address", site.example_address)
      .member("bytes", site.example_bytes);
  if (answer.with_contents && answer.scan != nullptr)
    json.member("contents", hex_digits(answer.scan->contents_of(site.example_address)));
  json.end_object();
  json.key("held_by");
  if (site.held.root.empty()) {
    json.null();
  } else {
    json.begin_object()
        .member("root", site.held.root)
        .member("blocks", site.held_so.blocks)
        .member("bytes", site.held_so.bytes)
        .member("left_out", site.held.left_out);
    json.key("path").begin_array();
    for (const HoldingPath::Step& step : site.held.steps) {
      const ResolvedFrame frame = answer.heap.resolver.leading_frame(result.site_stacks[step.site]);
      json.begin_object()
          .member("function", frame.function)
          .member("file", frame.file)
          .member("line", frame.line)
          .member("blocks", step.blocks)
          .end_object();
    }
    json.end_array().end_object();
  }
  if (answer.growth != nullptr) {
    json.key("growth");
    growth_json(answer.growth->judge(site.site), json);
  }
  write_frames(answer.heap.resolver.frames(result.site_stacks[site.site]), json);
  json.end_object();
}

// Sites put together as a reader sees them: with what is said of all of them together.
void write_places(const LeaksAnswer& answer, JsonWriter& json) {
  json.key("places").begin_array();
  size_t written = 0;
  for (const LeakGroup& group : answer.study.groups) {
    if (answer.heap.top != 0 && written++ == answer.heap.top)
      break;
    json.begin_object()
        .member("class", to_string(group.leak_class))
        .member("function", group.place->function)
        .member("file", group.place->file)
        .member("line", group.place->line)
        .member("bytes", group.sum.bytes)
        .member("blocks", group.sum.blocks)
        .member("indirect_bytes", group.with.bytes)
        .member("indirect_blocks", group.with.blocks)
        .member("stacks", uint64_t{group.sites.size()});
    if (const Growth* const growth = answer.study.growth_of(group); growth != nullptr) {
      json.key("growth");
      growth_json(*growth, json);
    }
    if (const auto missing = answer.study.missing.find(group.place); missing != answer.study.missing.end()) {
      json.key("missing_free");
      missing_free_json(missing->second, answer.heap.heap.result().threads, json);
    }
    json.end_object();
  }
  json.end_array();
}

} // namespace

void leaks_json(const LeaksAnswer& answer, JsonWriter& json) {
  const LeakReport& report = answer.report;
  json.begin_object();
  write_identity(answer.heap, json);
  json.member("scanned", report.scanned);
  json.key("reason");
  if (report.scanned)
    json.null();
  else
    json.value(report.reason);
  for (const LeakClass leak_class : {LeakClass::definite, LeakClass::indirect, LeakClass::possible,
                                     LeakClass::reachable, LeakClass::unknown})
    write_sum(to_string(leak_class), report.of(leak_class), json);
  json.key("scan");
  if (answer.scan == nullptr)
    json.null();
  else
    write_scan(*answer.scan, answer.heap.trace, json);
  json.key("scans").begin_array();
  for (const LeakScan& scan : answer.scans)
    write_scan(scan, answer.heap.trace, json);
  json.end_array();
  json.key("sites").begin_array();
  size_t written = 0;
  for (const LeakSite& site : report.sites)
    if (answer.heap.top == 0 || written++ < answer.heap.top)
      write_site(answer, site, json);
  json.end_array();
  write_places(answer, json);
  json.key("suppressed")
      .begin_object()
      .member("bytes", report.suppressed.bytes)
      .member("blocks", report.suppressed.blocks)
      .end_object();
  json.key("suppressions").begin_array();
  for (const SuppressionHits& hits : answer.suppressed)
    json.begin_object()
        .member("rule", hits.name)
        .member("source", hits.source)
        .member("blocks", hits.sum.blocks)
        .member("bytes", hits.sum.bytes)
        .end_object();
  json.end_array();
  if (answer.growth != nullptr) {
    json.key("growth");
    generations_json(answer.study.iterations, answer.growth->generations(), answer.study.places, json);
  }
  write_lost(json, answer.heap.heap.lost);
  write_problems(json, answer.heap.trace);
  json.end_object();
}

} // namespace hl
