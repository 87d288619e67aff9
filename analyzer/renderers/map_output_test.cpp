// What `map` says of limits, growth and the OOM killer, from counters of a made-up recording.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <unistd.h>

#include <cstdlib>
#include <string>

#include "renderers/map_output.h"
#include "testing/memory_payloads.h"
#include "testing/trace_builder.h"

using namespace hl;
using namespace hl::testing;

namespace {

constexpr uint64_t kMiB = 1 << 20;

UsageSample counters(uint64_t at, uint64_t rss_mib, uint64_t cgroup_limit) {
  UsageSample row;
  row.ticks = kStartTicks + at;
  const auto set = [&](UsageField field, uint64_t value) {
    row.values.values[static_cast<size_t>(field)] = value;
  };
  set(UsageField::rss, rss_mib * kMiB);
  set(UsageField::cgroup_current, (rss_mib + 8) * kMiB);
  set(UsageField::cgroup_max, cgroup_limit);
  set(UsageField::cgroup_high_events, at / 1000);
  set(UsageField::cgroup_max_events, 0);
  set(UsageField::cgroup_oom_kills, 0);
  set(UsageField::oom_score, 700);
  set(UsageField::oom_score_adj, 1000 + 50);
  set(UsageField::machine_total, 1024 * kMiB);
  return row;
}

ResidencySample sample_at(uint64_t at, uint64_t heap_kib) {
  ResidencySample sample;
  sample.ticks = sample.end_ticks = kStartTicks + at;
  sample.cause = SampleCause::periodic;
  sample.flags = kResidencyConsistent;
  sample.smaps = "1000000-9000000 rw-p 00000000 00:00 0 [heap]\nRss: " + std::to_string(heap_kib) +
                 " kB\nPss: " + std::to_string(heap_kib) + " kB\nPrivate_Dirty: " + std::to_string(heap_kib) +
                 " kB\nSwap: 1024 kB\n";
  sample.pages = {{0x1000000, 0x1000000 + heap_kib * 1024, PageState::anonymous}};
  return sample;
}

std::string text_of(uint64_t cgroup_limit, uint64_t page_tables = kUsageUnread) {
  const std::string path = "/tmp/hl-map-output-test-" + std::to_string(::getpid()) + ".hlt";
  TraceBuilder builder;
  builder.begin();
  builder.add(1, malloc_event(10, 0x1000100, 100, 0));
  builder.flush(UINT64_MAX);
  const std::vector<UsageSample> rows = {counters(1000, 8, cgroup_limit), counters(3000, 24, cgroup_limit)};
  builder.chunk(ChunkKind::usage, usage_payload(rows), rows.size(), rows[0].ticks, rows[1].ticks);
  for (const auto& [at, kib] : {std::pair{1000, 8192}, std::pair{3000, 24576}}) {
    ResidencySample sample = sample_at(static_cast<uint64_t>(at), static_cast<uint64_t>(kib));
    sample.usage.values[static_cast<size_t>(UsageField::page_tables)] = page_tables;
    builder.chunk(ChunkKind::residency, residency_payload(sample), 1, sample.ticks, sample.ticks);
  }
  builder.close().write(path);
  const auto trace = Trace::open(path);
  const Moment end;
  const auto traced = report_on_trace(*trace, {}, {});
  ::unlink(path.c_str());
  REQUIRE(traced.has_value());
  StackResolver resolver(*trace, {});
  const HeapAnswer heap{*trace, traced->heap, resolver, end};
  return map_text({.report = traced->report, .heap = &heap}, TextStyle());
}

bool says(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

} // namespace

TEST_CASE("headroom, events and badness come from the counters and the pages") {
  const std::string text = text_of(40 * kMiB);
  CAPTURE(text);
  CHECK(says(text, "24.0 MiB resident (and 1.00 MiB swapped out): heap 100 %."));
  CHECK(says(text, "it grew by 16.0 MiB; most grew heap, by 16.0 MiB."));
  CHECK(says(text, "The cgroup used 32.0 MiB of its limit of 40.0 MiB: 8.00 MiB (20.0 %) left."));
  CHECK(says(text, "reclaimed at the high mark 2 times"));
  // 24 MiB, 1 MiB of swap, and 12 pages of page table for 24 MiB that begin at a multiple of 2 MiB.
  CHECK(says(text, "RSS + swap + page tables: 25.0 MiB, of which page tables about 48.0 KiB"));
  CHECK(says(text, "oom_score was 700, oom_score_adj 50;"));
}

TEST_CASE("counted page tables count, not those that the pages suggest") {
  const std::string text = text_of(40 * kMiB, 200 << 10);
  CAPTURE(text);
  CHECK(says(text, "RSS + swap + page tables: 25.2 MiB, of which page tables 200 KiB;"));
}

TEST_CASE("no limit is said, not computed with") {
  const std::string text = text_of(kUsageUnlimited);
  CHECK(says(text, "The cgroup used 32.0 MiB and has no limit of its own."));
}
