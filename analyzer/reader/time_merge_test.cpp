// The order in which steps leave the merge.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <random>

#include "reader/time_merge.h"

using namespace hl;

namespace {

TraceEvent step(uint64_t ticks, EventKind kind, uint32_t thread, uint64_t address) {
  TraceEvent event{};
  event.ticks = ticks;
  event.kind = kind;
  event.thread_index = thread;
  event.address = address;
  return event;
}

std::vector<TraceEvent> drain_all(TimeMerge& merge, uint64_t limit, size_t batch = 3) {
  std::vector<TraceEvent> all;
  EventBatch out;
  bool more = true;
  while (more) {
    out.clear();
    more = merge.drain(limit, batch, out);
    all.insert(all.end(), out.events.begin(), out.events.end());
  }
  return all;
}

} // namespace

TEST_CASE("threads are merged by time and only below the low-water mark") {
  TimeMerge merge;
  for (const uint64_t ticks : {10, 30, 50})
    merge.lane(1, false, ticks).push(step(ticks, EventKind::malloc, 1, ticks));
  for (const uint64_t ticks : {20, 40, 60})
    merge.lane(2, false, ticks).push(step(ticks, EventKind::malloc, 2, ticks));
  const auto first = drain_all(merge, 45);
  REQUIRE(first.size() == 4);
  for (size_t i = 0; i < first.size(); ++i)
    CHECK(first[i].ticks == 10 * (i + 1));
  CHECK(merge.pending() == 2);
  CHECK(drain_all(merge, UINT64_MAX).size() == 2);
  CHECK(merge.out_of_order() == 0);
}

TEST_CASE(
    "at one stamp a free leaves before an allocation of another thread, within a thread nothing moves") {
  TimeMerge merge;
  merge.lane(1, false, 5).push(step(5, EventKind::malloc, 1, 0xa0));
  merge.lane(1, false, 5).push(step(5, EventKind::free, 1, 0xa0));
  merge.lane(2, false, 5).push(step(5, EventKind::free, 2, 0xb0));
  const auto all = drain_all(merge, UINT64_MAX);
  REQUIRE(all.size() == 3);
  CHECK(all[0].thread_index == 2);
  CHECK(all[1].kind == EventKind::malloc);
  CHECK(all[2].kind == EventKind::free);
}

TEST_CASE("a merge of random lanes equals a stable sort, whatever the batches and limits") {
  std::mt19937 random(7);
  for (int round = 0; round < 50; ++round) {
    TimeMerge merge;
    std::vector<TraceEvent> expected, got;
    std::vector<uint64_t> now(1 + random() % 7, 1);
    uint64_t low_water = 0;
    for (int chunk = 0; chunk < 8; ++chunk) {
      for (uint32_t lane = 0; lane < now.size(); ++lane) {
        now[lane] = std::max(now[lane], low_water);
        for (uint32_t i = random() % 40; i > 0; --i) {
          now[lane] += 1 + random() % 9;
          TraceEvent event = step(now[lane] * 8 + lane, EventKind::malloc, lane, 0);
          merge.lane(lane, false, event.ticks).push(event);
          expected.push_back(event);
        }
      }
      low_water = *std::min_element(now.begin(), now.end());
      for (const TraceEvent& event : drain_all(merge, low_water * 8, 1 + random() % 20))
        got.push_back(event);
    }
    for (const TraceEvent& event : drain_all(merge, UINT64_MAX))
      got.push_back(event);
    std::sort(expected.begin(), expected.end(),
              [](const TraceEvent& a, const TraceEvent& b) { return a.ticks < b.ticks; });
    REQUIRE(got.size() == expected.size());
    for (size_t i = 0; i < got.size(); ++i)
      REQUIRE(got[i].ticks == expected[i].ticks);
    CHECK(merge.out_of_order() == 0);
  }
}

TEST_CASE("payloads travel with their steps, also when a lane is emptied in parts") {
  TimeMerge merge;
  constexpr uint32_t kSteps = 10000;
  for (uint32_t i = 0; i < kSteps; ++i) {
    auto& lane = merge.lane(1, false, i);
    TraceEvent event = step(i, EventKind::extended, 1, 0);
    const std::string text = "step " + std::to_string(i);
    const std::span bytes(reinterpret_cast<const uint8_t*>(text.data()), text.size());
    event.size = bytes.size();
    event.address = lane.keep_payload(bytes);
    lane.push(event);
  }
  uint32_t next = 0;
  EventBatch out;
  for (uint64_t limit = 0; next < kSteps; limit += 700) {
    bool more = true;
    while (more) {
      out.clear();
      more = merge.drain(limit, 900, out);
      for (const TraceEvent& event : out.events) {
        const auto payload = out.payload_of(event);
        REQUIRE(std::string(payload.begin(), payload.end()) == "step " + std::to_string(next));
        ++next;
      }
    }
  }
}

TEST_CASE("what comes too late is delivered and counted") {
  TimeMerge merge;
  merge.lane(1, false, 100).push(step(100, EventKind::malloc, 1, 1));
  CHECK(drain_all(merge, 200).size() == 1);
  merge.lane(2, false, 50).push(step(50, EventKind::malloc, 2, 2));
  CHECK(drain_all(merge, 200).size() == 1);
  CHECK(merge.out_of_order() == 1);
}
