// `fragmentation --json`: the keys are a contract (docs/json.md), added to, never renamed.
#include <algorithm>

#include "renderers/fragmentation_output.h"
#include "renderers/frames_json.h"

namespace hl {
namespace {

void write_accounts(const AccountBytes& bytes, JsonWriter& json) {
  json.member("resident", bytes.resident())
      .member("live", bytes.requested)
      .member("slack", bytes.slack)
      .member("metadata", bytes.metadata)
      .member("stranded", bytes.stranded)
      .member("held", bytes.held)
      .member("trimmable", bytes.trimmable + bytes.top)
      .member("top", bytes.top);
}

void write_grain(std::string_view name, const PageGrain& grain, JsonWriter& json) {
  json.key(name).begin_object().member("page_bytes", grain.page_bytes);
  write_accounts(grain.bytes, json);
  json.member("resident_pages", grain.resident_pages)
      .member("pinned_pages", grain.pinned_pages)
      .member("empty_pages", grain.empty_pages)
      .key("occupancy")
      .begin_array();
  for (const uint64_t pages : grain.occupancy)
    json.value(pages);
  json.end_array().end_object();
}

void write_optional(std::string_view name, const std::optional<double>& value, JsonWriter& json) {
  json.key(name);
  if (value)
    json.value(*value);
  else
    json.null();
}

class FragmentationJson {
 public:
  FragmentationJson(const FragmentationAnswer& answer, JsonWriter& json)
      : answer_(answer), study_(answer.study), clock_(answer.heap.trace.clock()), json_(json) {}

  void write() {
    json_.begin_object();
    write_identity(answer_.heap, json_);
    write_sample();
    const PageAccounts& accounts = study_.accounts;
    json_.member("allocator", to_string(accounts.allocator))
        .member("confidence", to_string(accounts.confidence))
        .member("live_bytes", study_.live_bytes)
        .member("live_blocks", study_.live_blocks);
    write_grain("page_4k", accounts.small, json_);
    write_grain("page_2m", accounts.huge, json_);
    json_.member("untouched_bytes", accounts.untouched)
        .member("swapped_bytes", accounts.swapped)
        .member("elsewhere_bytes", accounts.bytes_elsewhere)
        .member("elsewhere_blocks", accounts.blocks_elsewhere);
    json_.key("malloc_trim_bytes");
    if (accounts.allocator == AllocatorKind::glibc && study_.sample)
      json_.value(accounts.malloc_trim);
    else
      json_.null();
    write_measures();
    write_blame();
    write_what_if();
    write_advice();
    write_slack();
    write_heaps();
    write_timeline();
    json_.end_object();
  }

 private:
  uint64_t age_ns(uint64_t birth) const {
    return birth >= study_.ticks ? 0 : clock_.ns(study_.ticks) - clock_.ns(birth);
  }

  void write_sample() {
    json_.key("sample");
    if (!study_.sample) {
      json_.null().member("without_sample", study_.without_sample);
      return;
    }
    const ResidencySample& sample = *study_.sample;
    json_.begin_object()
        .member("time_ns", clock_.ns(sample.ticks))
        .member("cause", sample_cause_name(sample.cause))
        .member("name", sample.name)
        .member("consistent", sample.consistent())
        .member("pages_read", sample.has_pages())
        .end_object();
  }

  void write_measures() {
    const Measures& m = study_.measures;
    json_.key("measures").begin_object();
    write_optional("average", m.average, json_);
    write_optional("at_peak_live", m.at_peak_live, json_);
    write_optional("at_peak_footprint", m.at_peak_footprint, json_);
    write_optional("peak_over_peak", m.peak_over_peak, json_);
    json_.member("samples", study_.points.size()).member("samples_in_trace", study_.samples).end_object();
    json_.key("external")
        .begin_object()
        .member("free_bytes", study_.accounts.free_addresses)
        .member("largest_free_bytes", study_.accounts.largest_free);
    write_optional("one_minus_largest_over_total", external_fragmentation(study_.accounts), json_);
    json_.end_object();
  }

  std::vector<ResolvedFrame> frames_of_site(uint32_t site) const {
    return answer_.heap.resolver.frames(answer_.heap.heap.result().site_stacks[site]);
  }

  void write_blame() {
    json_.key("blame").begin_array();
    const size_t count =
        answer_.heap.top == 0 ? answer_.places.size() : std::min(answer_.heap.top, answer_.places.size());
    for (size_t i = 0; i < count; ++i) {
      const Charge& charge = answer_.places[i].charge;
      json_.begin_object()
          .member("stranded_bytes", charge.stranded_bytes())
          .member("exclusive_bytes", charge.exclusive_bytes)
          .member("shared_bytes", charge.shared_bytes)
          .member("pages", charge.pages)
          .member("exclusive_pages", charge.exclusive_pages)
          .member("survivors", charge.survivors)
          .member("survivor_bytes", charge.survivor_bytes)
          .member("oldest_ns", charge.survivors == 0 ? 0 : age_ns(charge.oldest_ticks))
          .member("youngest_ns", charge.survivors == 0 ? 0 : age_ns(charge.youngest_ticks))
          .member("released_bytes", charge.released_bytes)
          .member("room_bytes", charge.room_bytes)
          .member("given_back_bytes", charge.given_back());
      json_.key("holes").begin_array();
      for (const HoleMaker& maker : charge.makers) {
        json_.begin_object().member("bytes", maker.bytes).member("blocks", maker.blocks);
        json_.key("block");
        if (maker.site == kNoHoleMaker) {
          json_.null();
        } else {
          json_.begin_object();
          write_frames(frames_of_site(maker.site), json_);
          json_.end_object();
        }
        json_.key("free");
        if (maker.free_stack == 0) {
          json_.null();
        } else {
          json_.begin_object();
          write_frames(answer_.heap.resolver.frames(maker.free_stack), json_);
          json_.end_object();
        }
        json_.end_object();
      }
      json_.end_array();
      write_frames(frames_of_site(answer_.places[i].site), json_);
      json_.end_object();
    }
    json_.end_array();
  }

  void write_what_if() {
    json_.key("what_if");
    if (answer_.pattern.empty()) {
      json_.null();
      return;
    }
    const WhatIf& apart = answer_.apart;
    json_.begin_object()
        .member("pattern", answer_.pattern)
        .member("sites", answer_.apart_sites)
        .member("blocks", apart.blocks)
        .member("bytes", apart.requested)
        .member("released_bytes", apart.released_bytes)
        .member("released_pages", apart.released_bytes / study_.accounts.small.page_bytes)
        .member("room_bytes", apart.room_bytes);
    write_grain("page_4k", apart.small, json_);
    write_grain("page_2m", apart.huge, json_);
    json_.end_object();
  }

  void write_advice() {
    json_.key("advice").begin_array();
    for (const FragmentationAdvice& advice : fragmentation_advice(answer_, TextStyle{}))
      json_.begin_object()
          .member("kind", advice.kind)
          .member("bytes", advice.bytes)
          .member("text", advice.text)
          .end_object();
    json_.end_array();
  }

  void write_slack() {
    json_.key("slack_classes").begin_array();
    for (const SlackClass& entry : study_.slack_classes)
      json_.begin_object()
          .member("from_usable", entry.from_usable)
          .member("to_usable", entry.to_usable)
          .member("blocks", entry.blocks)
          .member("requested", entry.requested)
          .member("slack", entry.slack)
          .end_object();
    json_.end_array();
  }

  void write_heaps() {
    json_.key("heaps").begin_array();
    for (const ArenaUse& arena : study_.arenas) {
      json_.begin_object().member("start", arena.start);
      write_accounts(arena.bytes, json_);
      json_.end_object();
    }
    json_.end_array();
  }

  void write_timeline() {
    json_.key("timeline").begin_array();
    for (const HeapPoint& point : study_.points) {
      json_.begin_object()
          .member("time_ns", clock_.ns(point.ticks))
          .member("cause", sample_cause_name(point.cause))
          .member("consistent", point.consistent)
          .member("live_bytes", point.live_bytes)
          .member("live_blocks", point.live_blocks)
          .member("footprint_bytes", point.footprint_bytes);
      if (point.accounts)
        write_accounts(*point.accounts, json_);
      json_.end_object();
    }
    json_.end_array();
  }

  const FragmentationAnswer& answer_;
  const FragmentationStudy& study_;
  const TraceClock& clock_;
  JsonWriter& json_;
};

} // namespace

void fragmentation_json(const FragmentationAnswer& answer, JsonWriter& json) {
  FragmentationJson(answer, json).write();
}

} // namespace hl
