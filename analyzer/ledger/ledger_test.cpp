// The ledger against heaps and maps made by hand: accounts add up, owners add up, and what was seen elsewhere
// is explained.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <random>

#include "fragmentation/heap_test_support.h"
#include "ledger/ledger.h"
#include "ledger/ledger_course.h"
#include "ledger/seen_number.h"

using namespace hl;
using namespace hl::testing;

namespace {

void check_sums(const Ledger& ledger) {
  uint64_t sum = 0;
  for (size_t i = 0; i < kAccounts; ++i) {
    sum += ledger.bytes[i];
    uint64_t owned = 0;
    for (const AccountOwner& owner : ledger.owners[i])
      owned += owner.bytes;
    CHECK_MESSAGE(owned == ledger.bytes[i], to_string(static_cast<Account>(i)));
  }
  CHECK(sum == ledger.rss);
}

Region& add_region(TestHeap& heap, RegionKind kind, uint64_t start, uint64_t bytes, uint64_t rss,
                   std::string name, RegionEvidence evidence = RegionEvidence::kernel_name) {
  Region& region = heap.region(kind, start, bytes, false);
  region.rss = rss;
  region.name = std::move(name);
  region.evidence = evidence;
  return region;
}

} // namespace

TEST_CASE("every resident byte is in one account, and each has its owner") {
  TestHeap heap;
  heap.region(RegionKind::heap_brk, 0x10000, 4 * kPage).name = "[heap]";
  heap.block(0x10000 + 0x2a0, 100, 104, 1);
  heap.block(0x10000 + 3 * kPage, 200, 232, 2);
  add_region(heap, RegionKind::code, 0x400000, 8 * kPage, 3 * kPage, "/bin/app");
  add_region(heap, RegionKind::bss, 0x500000, 2 * kPage, kPage, "/bin/app");
  add_region(heap, RegionKind::managed, 0x600000, 9 * kPage, 7 * kPage, "dart-heap");
  add_region(heap, RegionKind::anonymous, 0x700000, 9 * kPage, 2 * kPage, "", RegionEvidence::call).site = 5;
  add_region(heap, RegionKind::anonymous, 0x800000, 9 * kPage, 5 * kPage, "", RegionEvidence::none);
  add_region(heap, RegionKind::own, 0x900000, 9 * kPage, 4 * kPage, "");
  const Ledger ledger = make_ledger(heap.map, heap.accounts(), true);
  check_sums(ledger);
  CHECK(ledger.rss == (4 + 3 + 1 + 7 + 2 + 5 + 4) * kPage);
  CHECK(ledger.of(Account::live) == 300);
  CHECK(ledger.of(Account::slack) == 36);
  CHECK(ledger.of(Account::code) == 3 * kPage);
  CHECK(ledger.of(Account::data) == kPage);
  CHECK(ledger.of(Account::managed) == 7 * kPage);
  CHECK(ledger.of(Account::anonymous) == 2 * kPage);
  CHECK(ledger.of(Account::unknown) == 5 * kPage);
  CHECK(ledger.of(Account::own) == 4 * kPage);
  REQUIRE(ledger.owners[static_cast<size_t>(Account::live)].size() == 2);
  CHECK(ledger.owners[static_cast<size_t>(Account::live)][0].site == 2);
  CHECK(ledger.owners[static_cast<size_t>(Account::anonymous)][0].site == 5);
  CHECK(ledger.owners[static_cast<size_t>(Account::managed)][0].name == "dart-heap");
  CHECK(ledger.adjusted_bytes == 0);
}

TEST_CASE("where the pages and the kernel's sum disagree, the sum holds and the difference is told") {
  TestHeap heap;
  Region& region = heap.region(RegionKind::heap_brk, 0x10000, 4 * kPage);
  heap.block(0x10000 + 0x2a0, 100, 104, 1);
  region.rss = 6 * kPage; // more than the pages that were found
  const Ledger more = make_ledger(heap.map, heap.accounts(), false);
  check_sums(more);
  CHECK(more.of(Account::unknown) == 2 * kPage);
  CHECK_FALSE(more.consistent);
  heap.map.regions[0].rss = kPage; // fewer
  const Ledger fewer = make_ledger(heap.map, heap.accounts(), false);
  check_sums(fewer);
  CHECK(fewer.rss == kPage);
  CHECK(fewer.adjusted_bytes == 3 * kPage);
  CHECK(fewer.of(Account::live) == 100); // free memory gave way first
}

TEST_CASE("random heaps: sums hold whatever the heap looks like") {
  std::mt19937_64 random(4711);
  for (int round = 0; round < 50; ++round) {
    TestHeap heap = random_glibc_heap(random, 0x100000, 1 + random() % 60, 5);
    uint64_t rss = 0;
    for (const PageRange& pages : heap.sample.pages)
      rss += pages.state == PageState::swapped ? 0 : pages.end - pages.start;
    heap.map.regions[0].rss = rss;
    const Ledger ledger = make_ledger(heap.map, heap.accounts(), true);
    check_sums(ledger);
    CHECK(ledger.adjusted_bytes == 0);
    CHECK(ledger.of(Account::unknown) == 0);
  }
}

TEST_CASE("numbers from elsewhere are parsed") {
  CHECK(parse_seen_number("92M:dumpsys")->bytes == 92u << 20);
  CHECK(parse_seen_number("92M:DumpSys")->tool == "dumpsys");
  CHECK(parse_seen_number("4096")->bytes == 4096);
  CHECK(parse_seen_number("1.5G:top")->bytes == (3u << 30) / 2);
  CHECK_FALSE(parse_seen_number("M:top"));
  CHECK_FALSE(parse_seen_number("12M:"));
  CHECK_FALSE(parse_seen_number(""));
}

TEST_CASE("a number from elsewhere is explained by accounts that add up to it") {
  TestHeap heap;
  Region& brk = heap.region(RegionKind::heap_brk, 0x10000, 40 * kPage);
  brk.private_dirty = brk.pss = brk.rss;
  heap.block(0x10000 + 0x2a0, 100'000, 100'008, 1);
  Region& code = add_region(heap, RegionKind::code, 0x400000, 8 * kPage, 8 * kPage, "/lib/libc.so");
  code.pss = 2 * kPage;
  code.shared_clean = 8 * kPage;
  const PageAccounts accounts = heap.accounts();
  const Ledger ledger = make_ledger(heap.map, accounts, true);
  SeenSources sources{&ledger, &heap.map, {}, 100'000, 150'000};
  for (const Meaning& meaning : meanings_of({1, ""}, sources)) {
    uint64_t sum = 0, less = 0;
    for (const auto& part : meaning.contains)
      sum += part.second;
    for (const auto& part : meaning.beyond)
      sum += part.second;
    for (const auto& part : meaning.less)
      less += part.second;
    CHECK_MESSAGE(sum - less == meaning.bytes, meaning.tool, " ", meaning.shown);
  }
  const auto top = meanings_of({48 * kPage, "top"}, sources);
  REQUIRE(top.size() == 2);
  CHECK(top[0].shown == "RES");
  CHECK(top[0].bytes == 48 * kPage);
  CHECK(meanings_of({150'000, "heaptrack"}, sources)[0].shown == "peak heap memory consumption");
  CHECK(meanings_of({42 * kPage, "dumpsys"}, sources)[0].shown == "TOTAL PSS");
  CHECK(meanings_of({1, "abacus"}, sources).empty());
  for (const std::string& tool : known_tools())
    if (tool != "devtools" && tool != "kubectl" && tool != "docker" &&
        tool != "cgroup") // need what is not here
      CHECK_MESSAGE(!meanings_of({1, tool}, sources).empty(), tool);
}

TEST_CASE("a limit that is approached steadily is foretold, noise is not") {
  TraceClock clock;
  const auto usage = [](uint64_t second, uint64_t used, uint64_t limit) {
    UsageSample sample;
    sample.ticks = second * 1'000'000'000;
    sample.values.values[static_cast<size_t>(UsageField::cgroup_current)] = used;
    sample.values.values[static_cast<size_t>(UsageField::cgroup_max)] = limit;
    sample.values.values[static_cast<size_t>(UsageField::machine_total)] = uint64_t{1} << 40;
    return sample;
  };
  std::vector<UsageSample> steady, flat;
  std::mt19937 random(7);
  for (uint64_t second = 0; second <= 100; ++second) {
    steady.push_back(usage(second, 1'000'000 * second, 300'000'000));
    flat.push_back(usage(second, 50'000'000 + random() % 1'000'000, 300'000'000));
  }
  const LedgerForecast soon = forecast(steady, clock);
  CHECK(soon.of_cgroup);
  CHECK(soon.limit_bytes == 300'000'000);
  REQUIRE(soon.reached_in_ns.has_value());
  CHECK(*soon.reached_in_ns / 1'000'000'000 == 200);
  CHECK_FALSE(forecast(flat, clock).reached_in_ns.has_value());
  CHECK(forecast({}, clock).limit_bytes == 0);
}
