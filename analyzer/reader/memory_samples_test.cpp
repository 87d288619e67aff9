// Samples of the process's memory: what is written is read, and what cannot be is refused.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <cstring>

#include <zstd.h>

#include "reader/memory_samples.h"
#include "testing/memory_payloads.h"

using namespace hl;
using namespace hl::testing;

TEST_CASE("rows of counters come back with what was not read left out") {
  UsageSample first, second;
  first.ticks = 5000;
  first.values.values[static_cast<size_t>(UsageField::rss)] = 1 << 20;
  second.ticks = 9000;
  second.values.values[static_cast<size_t>(UsageField::rss)] = 4096;
  second.values.values[static_cast<size_t>(UsageField::cgroup_max)] = kUsageUnlimited;
  const auto read = parse_usage(usage_payload({first, second}));
  REQUIRE(read.has_value());
  REQUIRE(read->size() == 2);
  CHECK((*read)[0].ticks == 5000);
  CHECK((*read)[0].values.of(UsageField::rss) == 1 << 20);
  CHECK_FALSE((*read)[0].values.has(UsageField::cgroup_max));
  CHECK((*read)[1].ticks == 9000);
  CHECK((*read)[1].values.of(UsageField::rss) == 4096);
  CHECK((*read)[1].values.of(UsageField::cgroup_max) == kUsageUnlimited);
}

TEST_CASE("a memory map comes back whole, or without its large parts") {
  ResidencySample sample;
  sample.ticks = 77;
  sample.end_ticks = 99;
  sample.cause = SampleCause::mark;
  sample.flags = kResidencyConsistent;
  sample.name = "level loaded";
  sample.usage.values[static_cast<size_t>(UsageField::pss)] = 12345;
  sample.smaps = "00400000-00401000 r--p 00000000 00:00 0 /bin/app\nRss: 4 kB\n";
  sample.own = {{0x1000, 0x3000}, {0x7000, 0x8000}};
  sample.pages = {{0x400000, 0x401000, PageState::file}, {0x401000, 0x405000, PageState::anonymous}};
  const auto payload = residency_payload(sample);
  const auto whole = parse_residency(payload);
  REQUIRE(whole.has_value());
  CHECK(whole->ticks == 77);
  CHECK(whole->end_ticks == 99);
  CHECK(whole->cause == SampleCause::mark);
  CHECK(whole->consistent());
  CHECK(whole->name == sample.name);
  CHECK(whole->smaps == sample.smaps);
  CHECK(whole->usage.of(UsageField::pss) == 12345);
  CHECK_FALSE(whole->usage.has(UsageField::rss));
  REQUIRE(whole->own.size() == 2);
  CHECK(whole->own[1].end == 0x8000);
  REQUIRE(whole->pages.size() == 2);
  CHECK(whole->pages[1].start == 0x401000);
  CHECK(whole->pages[1].end == 0x405000);
  CHECK(whole->pages[1].state == PageState::anonymous);
  const auto head = parse_residency(payload, false);
  REQUIRE(head.has_value());
  CHECK(head->smaps.empty());
  CHECK(head->name == sample.name);

  for (size_t bytes = 0; bytes < payload.size(); ++bytes)
    CHECK_FALSE(parse_residency(std::span(payload).first(bytes)).has_value());
}

TEST_CASE("ranges that overlap or leave the address space are refused") {
  ResidencySample sample;
  sample.own = {{0x3000, 0x5000}, {0x4000, 0x8000}};
  CHECK_FALSE(parse_residency(residency_payload(sample)).has_value());
  sample.own = {{0x3000, 0x3000}};
  CHECK_FALSE(parse_residency(residency_payload(sample)).has_value());
  sample.own.clear();
  sample.pages = {{0x1000, uint64_t{1} << 60, PageState::file}};
  CHECK_FALSE(parse_residency(residency_payload(sample)).has_value());
}
