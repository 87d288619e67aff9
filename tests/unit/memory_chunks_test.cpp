// Memory samples from the recorder's encoders to the analyzer's decoders, with random content: what goes in
// comes out. And the same payloads as a writer of another version would have made them.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <cstring>
#include <random>

#include "page_map.h"
#include "reader/memory_samples.h"
#include "reader/metadata_parser.h"
#include "residency_encoder.h"

using namespace hl;

namespace {

using Random = std::mt19937_64;

// Of all magnitudes alike; the greatest is what stands for "not read".
uint64_t any_value(Random& random) {
  return random() >> (random() % 64);
}

UsageFields random_fields(Random& random) {
  UsageFields fields;
  for (uint64_t& value : fields.values)
    if (random() % 3 != 0)
      value = any_value(random);
  return fields;
}

std::vector<UsageRow> random_rows(Random& random, size_t count) {
  std::vector<UsageRow> rows(count);
  uint64_t ticks = random() >> 8;
  for (UsageRow& row : rows) {
    row.ticks = ticks += random() >> (20 + random() % 44);
    row.fields = random_fields(random);
  }
  return rows;
}

struct RandomMap {
  std::string name, smaps;
  std::vector<OwnRange> own;
  std::vector<PageRange> pages;
  PageRuns runs;
  ResidencyParts parts;

  explicit RandomMap(Random& random) {
    constexpr uint64_t kPageBytes = 4096;
    for (uint64_t i = random() % 40; i != 0; --i)
      name.push_back(static_cast<char>('a' + random() % 26));
    for (uint64_t i = random() % 5000; i != 0; --i)
      smaps.push_back(static_cast<char>(random()));
    uint64_t at = random() % 100;
    for (uint64_t i = random() % 20; i != 0; --i) {
      const uint64_t start = at += 1 + (random() >> (40 + random() % 24));
      own.push_back({start, at += 1 + random() % 100000});
    }
    uint64_t page = 0;
    for (uint64_t i = random() % 300; i != 0; --i) {
      const uint64_t gap = random() % 4 == 0 ? 0 : random() >> (34 + random() % 30);
      const uint64_t count = 1 + (random() >> (44 + random() % 20));
      const auto state = static_cast<PageState>(random() % 4);
      if (page + gap + count > (uint64_t{1} << 44))
        break;
      runs.add(page + gap, count, state);
      const uint64_t start = (page + gap) * kPageBytes, end = start + count * kPageBytes;
      // Runs that touch and have one state become one.
      if (gap == 0 && !pages.empty() && pages.back().end == start && pages.back().state == state)
        pages.back().end = end;
      else
        pages.push_back({start, end, state});
      page += gap + count;
    }
    parts.name = name;
    parts.own = own;
    parts.smaps = smaps;
    parts.page_runs = runs.finish();
    parts.fields = random_fields(random);
    parts.head.page_run_count = runs.count();
    parts.head.page_bytes = kPageBytes;
    parts.head.cause = static_cast<uint8_t>(random() % 7);
    parts.head.flags = static_cast<uint8_t>(random() % 8);
    parts.head.ticks = random();
    parts.head.end_ticks = random();
    parts.head.cpu_ns = random();
  }
};

void check_same(const ResidencySample& read, const RandomMap& map) {
  const ResidencyPayload& head = map.parts.head;
  CHECK(read.ticks == head.ticks);
  CHECK(read.end_ticks == head.end_ticks);
  CHECK(read.cpu_ns == head.cpu_ns);
  CHECK(static_cast<uint8_t>(read.cause) == head.cause);
  CHECK(read.flags == head.flags);
  CHECK(read.page_bytes == head.page_bytes);
  CHECK(read.name == map.name);
  CHECK(read.smaps == map.smaps);
  REQUIRE(read.own.size() == map.own.size());
  for (size_t i = 0; i < map.own.size(); ++i)
    CHECK((read.own[i].start == map.own[i].first && read.own[i].end == map.own[i].second));
  REQUIRE(read.pages.size() == map.pages.size());
  for (size_t i = 0; i < map.pages.size(); ++i)
    CHECK((read.pages[i].start == map.pages[i].start && read.pages[i].end == map.pages[i].end &&
           read.pages[i].state == map.pages[i].state));
}

// The head of a payload with another length: fields cut off, or some that nobody knows yet.
std::vector<uint8_t> with_fields(const std::vector<uint8_t>& payload, uint32_t fields) {
  constexpr size_t kFixed = sizeof(ResidencyPayload) - sizeof(ResidencyPayload::fields);
  std::vector<uint8_t> other(payload.begin(), payload.begin() + kFixed);
  const uint32_t head_bytes = static_cast<uint32_t>(kFixed + 8 * fields);
  std::memcpy(other.data(), &head_bytes, sizeof head_bytes);
  for (uint32_t i = 0; i < 8 * fields; ++i)
    other.push_back(i < 8 * kUsageFields ? payload[kFixed + i] : uint8_t{77});
  other.insert(other.end(), payload.begin() + sizeof(ResidencyPayload), payload.end());
  return other;
}

} // namespace

TEST_CASE("usage rows come out as they went in") {
  Random random(20261123);
  ChunkCodec codec(1);
  CHECK(usage_payload({}, codec).empty());
  for (int round = 0; round < 200; ++round) {
    const std::vector<UsageRow> rows = random_rows(random, 1 + random() % 300);
    const auto read = parse_usage(usage_payload(rows, codec));
    REQUIRE(read.has_value());
    REQUIRE(read->size() == rows.size());
    for (size_t i = 0; i < rows.size(); ++i) {
      CHECK((*read)[i].ticks == rows[i].ticks);
      CHECK((*read)[i].values.values == rows[i].fields.values);
    }
  }
}

TEST_CASE("memory maps come out as they went in, whole and listed") {
  Random random(4711);
  ResidencyEncoder encoder;
  for (int round = 0; round < 200; ++round) {
    const RandomMap map(random);
    const std::vector<uint8_t> payload = encoder.residency(map.parts);
    const auto read = parse_residency(payload);
    REQUIRE(read.has_value());
    check_same(*read, map);
    CHECK(read->usage.values == map.parts.fields.values);
    const auto listed = parse_residency(payload, false);
    REQUIRE(listed.has_value());
    CHECK(listed->name == map.name);
    CHECK(listed->smaps.empty());
    CHECK(listed->pages.empty());
  }
}

TEST_CASE("maps of writers that knew fewer counters, or know more, are read") {
  Random random(99);
  ResidencyEncoder encoder;
  for (int round = 0; round < 50; ++round) {
    const RandomMap map(random);
    const std::vector<uint8_t> payload = encoder.residency(map.parts);
    for (const uint32_t fields : {0u, 1u, 40u, kUsageFields + 1, kUsageFields + 20}) {
      const auto read = parse_residency(with_fields(payload, fields));
      REQUIRE(read.has_value());
      check_same(*read, map);
      for (uint32_t i = 0; i < kUsageFields; ++i)
        CHECK(read->usage.values[i] == (i < fields ? map.parts.fields.values[i] : kUsageUnread));
    }
  }
}

TEST_CASE("a payload that was cut short is refused, or whole by chance, never wrong") {
  Random random(5);
  ResidencyEncoder encoder;
  ChunkCodec codec(1);
  for (int round = 0; round < 60; ++round) {
    const RandomMap map(random);
    std::vector<uint8_t> payload = encoder.residency(map.parts);
    payload.resize(random() % payload.size());
    CHECK_FALSE(parse_residency(payload).has_value());
    std::vector<uint8_t> rows = usage_payload(random_rows(random, 1 + random() % 50), codec);
    rows.resize(random() % rows.size());
    CHECK_FALSE(parse_usage(rows).has_value());
  }
}

TEST_CASE("what sampling did comes out as it went in, also of writers that knew less or know more") {
  Random random(17);
  for (int round = 0; round < 100; ++round) {
    SamplingPayload wrote;
    auto* const words = reinterpret_cast<uint64_t*>(&wrote);
    for (size_t i = 0; i < sizeof wrote / sizeof *words; ++i)
      words[i] = random();
    wrote.payload_header_bytes = sizeof wrote;
    std::vector<uint8_t> payload(sizeof wrote);
    std::memcpy(payload.data(), &wrote, sizeof wrote);
    TraceMetadata read;
    REQUIRE(parse_sampling(payload, read));
    CHECK(std::memcmp(&read.sampling, &wrote, sizeof wrote) == 0);
    wrote.payload_header_bytes = sizeof wrote + 8;
    std::memcpy(payload.data(), &wrote, sizeof wrote);
    payload.resize(payload.size() + 8);
    TraceMetadata longer;
    REQUIRE(parse_sampling(payload, longer));
    CHECK(longer.sampling.own_unlisted_bytes == wrote.own_unlisted_bytes);
    payload.resize(3);
    TraceMetadata cut;
    CHECK_FALSE(parse_sampling(payload, cut));
    CHECK_FALSE(cut.has_sampling);
  }
}
