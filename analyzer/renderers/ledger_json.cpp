// `ledger --json`: the keys are a contract (docs/json.md), added to, never renamed.
#include "renderers/frames_json.h"
#include "renderers/ledger_output.h"

namespace hl {
namespace {

void write_account_sums(const std::array<uint64_t, kAccounts>& bytes, JsonWriter& json) {
  json.begin_object();
  for (size_t i = 0; i < kAccounts; ++i)
    json.member(to_string(static_cast<Account>(i)), bytes[i]);
  json.end_object();
}

void write_owner(const OwnerPlace& place, const HeapAnswer& heap, JsonWriter& json) {
  json.begin_object().member("bytes", place.bytes).member("name", place.name);
  if (place.site != 0)
    write_frames(heap.resolver.frames(heap.heap.result().site_stacks[place.site]), json);
  json.end_object();
}

void write_meaning(const Meaning& meaning, JsonWriter& json) {
  json.begin_object()
      .member("tool", meaning.tool)
      .member("shown", meaning.shown)
      .member("means", meaning.means)
      .member("bytes", meaning.bytes);
  json.key("contains").begin_array();
  for (const auto& [account, bytes] : meaning.contains)
    json.begin_object().member("account", to_string(account)).member("bytes", bytes).end_object();
  json.end_array();
  for (const auto& [key, parts] : {std::pair{"beyond", &meaning.beyond}, {"less", &meaning.less}}) {
    json.key(key).begin_array();
    for (const auto& [what, bytes] : *parts)
      json.begin_object().member("what", what).member("bytes", bytes).end_object();
    json.end_array();
  }
  json.end_object();
}

} // namespace

void ledger_json(const LedgerAnswer& answer, JsonWriter& json) {
  const TraceClock& clock = answer.heap.trace.clock();
  const Ledger& ledger = answer.ledger;
  json.begin_object();
  write_identity_at(answer.heap, answer.sample.ticks, json);
  json.member("sample_distance_ns", answer.distance_ns)
      .member("consistent", ledger.consistent)
      .member("confidence", to_string(ledger.confidence))
      .member("rss", ledger.rss);
  json.key("accounts").begin_array();
  for (size_t i = 0; i < kAccounts; ++i) {
    json.begin_object()
        .member("account", to_string(static_cast<Account>(i)))
        .member("bytes", ledger.bytes[i])
        .member("meaning", describe(static_cast<Account>(i)));
    json.key("owners").begin_array();
    size_t written = 0;
    for (const OwnerPlace& place : owner_places(ledger.owners[i], answer.heap)) {
      if (answer.heap.top != 0 && written++ == answer.heap.top)
        break;
      write_owner(place, answer.heap, json);
    }
    json.end_array().end_object();
  }
  json.end_array()
      .member("untouched", ledger.untouched)
      .member("swapped", ledger.swapped)
      .member("swap", ledger.swap)
      .member("mapped", ledger.mapped)
      .member("adjusted", ledger.adjusted_bytes);
  json.key("page_tables");
  if (answer.sample.usage.has(UsageField::page_tables))
    json.value(answer.sample.usage.of(UsageField::page_tables));
  else
    json.null();
  json.key("course").begin_array();
  for (const LedgerPoint& point : answer.course) {
    json.begin_object().member("time_ns", clock.ns(point.ticks)).member("rss", point.rss).key("accounts");
    write_account_sums(point.bytes, json);
    json.end_object();
  }
  json.end_array();
  json.key("forecast");
  if (answer.forecast.limit_bytes == 0) {
    json.null();
  } else {
    json.begin_object()
        .member("limit", answer.forecast.limit_bytes)
        .member("of", answer.forecast.of_cgroup ? "cgroup" : "machine")
        .member("used", answer.forecast.used_bytes)
        .member("bytes_per_second", answer.forecast.bytes_per_second.estimate)
        .member("judged_ns", answer.forecast.judged_ns);
    json.key("reached_in_ns");
    if (answer.forecast.reached_in_ns)
      json.value(*answer.forecast.reached_in_ns);
    else
      json.null();
    json.end_object();
  }
  json.key("saw");
  if (!answer.seen) {
    json.null();
  } else {
    json.begin_object().member("bytes", answer.seen->bytes).member("tool", answer.seen->tool);
    json.key("meanings").begin_array();
    for (const Meaning& meaning : answer.meanings)
      write_meaning(meaning, json);
    json.end_array().end_object();
  }
  json.end_object();
}

} // namespace hl
