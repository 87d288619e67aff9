// When samples are taken and what they may cost: with made-up clocks and costs.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include "sample_budget.h"
#include "sample_schedule.h"

namespace {

constexpr uint64_t kMs = 1'000'000, kSecond = 1000 * kMs, kMiB = 1 << 20;
using hl::SampleKind;

} // namespace

TEST_CASE("in the long run readings cost their share of the budget, however dear one is") {
  for (const uint64_t cost_ns : {50'000ull, 5'000'000ull, 90'000'000ull}) {
    uint64_t now = kSecond, spent_ns = 0;
    hl::SampleBudget budget(10'000, now);
    const uint64_t end = now + 3600 * kSecond;
    for (; now < end; now += 10 * kMs)
      if (budget.allows(SampleKind::map, now)) {
        budget.charge(SampleKind::map, cost_ns);
        spent_ns += cost_ns;
      }
    // 60 % of 1 % of an hour, and the allowance.
    CHECK(spent_ns <= 21'600 * kMs + 6 * kMs + cost_ns);
    CHECK(spent_ns >= (cost_ns < 10 * kMs ? 4'000 * kMs : 21'000 * kMs));
  }
}

TEST_CASE("a dear map does not silence cheap readings, and a wait ends when it says") {
  hl::SampleBudget budget(10'000, kSecond);
  budget.charge(SampleKind::map, 90 * kMs);
  CHECK_FALSE(budget.allows(SampleKind::map, kSecond));
  CHECK(budget.allows(SampleKind::statm, kSecond));
  CHECK(budget.allows(SampleKind::rollup, kSecond));
  const uint64_t wait_ns = budget.wait_ns(SampleKind::map);
  CHECK(wait_ns > 13 * kSecond);
  CHECK(wait_ns < 15 * kSecond);
  CHECK_FALSE(budget.allows(SampleKind::map, kSecond + wait_ns - 100 * kMs));
  CHECK(budget.allows(SampleKind::map, kSecond + wait_ns));
}

TEST_CASE("no budget allows nothing, ever") {
  hl::SampleBudget budget(0, kSecond);
  CHECK_FALSE(budget.allows(SampleKind::statm, kSecond));
  CHECK_FALSE(budget.allows(SampleKind::map, 1000 * kSecond));
  CHECK(budget.wait_ns(SampleKind::map) == ~uint64_t{0});
}

TEST_CASE("statm is read often while memory changes and seldom while it does not") {
  hl::SampleSchedule schedule(kSecond, kSecond);
  uint64_t now = schedule.next_statm_ns();
  CHECK(now == kSecond);
  for (int i = 0; i < 50; i++) {
    schedule.statm_read(now, 100 * kMiB, 50 * kMiB);
    now = schedule.next_statm_ns();
  }
  schedule.statm_read(now, 100 * kMiB, 50 * kMiB);
  CHECK(schedule.next_statm_ns() == now + 250 * kMs);
  for (uint64_t i = 1; i <= 10; i++) {
    now = schedule.next_statm_ns();
    schedule.statm_read(now, 100 * kMiB, (50 + 5 * i) * kMiB);
  }
  CHECK(schedule.next_statm_ns() == now + 10 * kMs);
}

TEST_CASE("growth by a thousand takes logarithmically many maps, and none is far below the peak") {
  hl::SampleSchedule schedule(kSecond, kSecond);
  CHECK(schedule.map_cause() == hl::SampleCause::start);
  uint64_t now = kSecond, last_map = 0, maps = 0;
  schedule.statm_read(now, kMiB, kMiB);
  schedule.map_taken(now, kMiB, 1000);
  for (uint64_t rss = kMiB; rss < 1024 * kMiB; rss += 64 * 1024) {
    now += 10'000;
    schedule.statm_read(now, rss, rss);
    if (schedule.next_map_ns() > now)
      continue;
    CHECK(schedule.map_cause() == hl::SampleCause::peak);
    schedule.map_taken(now, rss, 1000);
    last_map = rss;
    maps++;
  }
  CHECK(maps > 35);
  CHECK(maps < 100);
  CHECK(last_map > 1023 * kMiB / 111 * 100);
}

TEST_CASE("the time line has a few hundred maps, none while nothing changes, and little on disk") {
  hl::SampleSchedule schedule(kSecond, kSecond);
  uint64_t now = kSecond, maps = 0;
  for (uint64_t i = 0; i < 36'000; i++, now += 100 * kMs) {
    schedule.statm_read(now, 100 * kMiB, (50 + i % 2) * kMiB);
    if (schedule.next_map_ns() <= now) {
      schedule.map_taken(now, 51 * kMiB, 5000);
      maps++;
    }
  }
  CHECK(maps > 400);
  CHECK(maps < 1200);
  const uint64_t due = schedule.next_map_ns();
  schedule.map_taken(now, 51 * kMiB, 3200 * 1000);
  CHECK(schedule.next_map_ns() == ~uint64_t{0}); // nothing has changed since
  schedule.statm_read(now, 101 * kMiB, 50 * kMiB);
  CHECK(schedule.next_map_ns() >= now + 100 * kSecond);
  CHECK(schedule.next_map_ns() > due);
}
