// Classes of a scan laid over a replayed heap: totals, sites, what hangs on a lost block, who holds a
// reachable one.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include "analyses/heap_replay.h"
#include "analyses/leak_report.h"
#include "testing/scratch_directory.h"
#include "testing/trace_builder.h"

using namespace hl;
using namespace hl::testing;

namespace {

struct World {
  ScratchDirectory scratch;
  std::unique_ptr<Trace> trace;
  HeapReplay heap;

  // Six blocks of 100 ... 600 bytes at 0x1000 ... 0x6000, born at 10 ... 60; the last two of another site and
  // thread.
  World() {
    TraceBuilder builder;
    builder.begin();
    const StackId first = builder.node(0, 0, 0x100), second = builder.node(0, 0, 0x200);
    for (uint64_t i = 1; i <= 6; ++i)
      builder.add(i < 5 ? 1 : 2, malloc_event(i * 10, i * 0x1000, i * 100, i < 5 ? first : second));
    builder.add(1, free_event(100, 0x1000));
    builder.flush(~uint64_t{0}).close();
    const std::string path = scratch.file("t.hlt");
    builder.write(path);
    trace = Trace::open(path);
    heap = replay_heap(*trace, {.last_ticks = kStartTicks + 90}, {});
  }

  static LeakScan scan() {
    using enum LeakClass;
    LeakScan scan;
    scan.facts.way = static_cast<uint8_t>(ScanWay::stopped);
    scan.roots = {{RootKind::stack, 4711, 0x7ffe00}};
    scan.addresses = {0x1000, 0x2000, 0x3000, 0x4000, 0x5000, 0x6000};
    scan.classes = {definite, indirect, indirect, reachable, reachable, possible};
    // 2 and 3 go with 1; 5 hangs on 4, that on the stack; 6 on 5.
    scan.holders = {0, 2, 2, 1, 2 * 3 + 2, 2 * 4 + 2};
    return scan;
  }
  LeakReport report(const LeakScan* scan, const std::string& reason = "") const {
    RootNames roots(*trace, {});
    return make_leak_report(*heap.replay, scan, reason, roots);
  }
};

} // namespace

TEST_CASE("totals by class, and sites in the order of what to mend") {
  const World world;
  const LeakScan scan = World::scan();
  const LeakReport report = world.report(&scan);
  CHECK(report.scanned);
  CHECK(report.of(LeakClass::definite).bytes == 100);
  CHECK(report.of(LeakClass::indirect).bytes == 500);
  CHECK(report.of(LeakClass::indirect).blocks == 2);
  CHECK(report.of(LeakClass::reachable).bytes == 900);
  CHECK(report.of(LeakClass::possible).blocks == 1);
  CHECK(report.of(LeakClass::unknown).blocks == 0);
  REQUIRE(report.sites.size() == 5);
  CHECK(report.sites[0].leak_class == LeakClass::definite);
  CHECK(report.sites[0].with.bytes == 500);
  CHECK(report.sites[0].example_address == 0x1000);
  CHECK(report.sites[1].leak_class == LeakClass::possible);
  CHECK(report.sites[1].threads == std::vector<uint32_t>{2});
  CHECK(report.sites[2].leak_class == LeakClass::indirect);
  CHECK(report.sites[2].oldest_ticks == kStartTicks + 20);
  CHECK(report.sites[2].youngest_ticks == kStartTicks + 30);
}

TEST_CASE("the way from a root to a block") {
  const World world;
  const LeakScan scan = World::scan();
  const LeakReport report = world.report(&scan);
  const LeakSite& possible = report.sites[1];
  CHECK(possible.held.root == "the stack of the main thread");
  REQUIRE(possible.held.steps.size() == 2);
  CHECK(possible.held.steps[0].blocks == 1);
  CHECK(possible.held.steps[0].site != possible.site); // block 4
  CHECK(possible.held.steps[1].site == possible.site); // block 5
  CHECK(possible.held_so.blocks == 1);
  CHECK(report.sites[0].held.root.empty());
}

TEST_CASE("without a scan everything live is not freed, and the reason is given") {
  const World world;
  const LeakReport none = world.report(nullptr, "nobody asked");
  CHECK(!none.scanned);
  CHECK(none.reason == "nobody asked");
  CHECK(none.of(LeakClass::unknown).bytes == 2100);
  CHECK(none.of(LeakClass::definite).blocks == 0);
  LeakScan refused;
  refused.reason = "ptrace is not permitted";
  CHECK(world.report(&refused, "nobody asked").reason == "ptrace is not permitted");
}

TEST_CASE("a scan and a trace that do not know the same blocks") {
  const World world;
  LeakScan scan = World::scan();
  scan.addresses[5] = 0x6666;  // the trace does not know it, the scan not 0x6000
  scan.holders[5] = 2 * 5 + 2; // and it holds itself
  const LeakReport report = world.report(&scan);
  CHECK(report.unknown_to_replay == 1);
  CHECK(report.unknown_to_scan == 1);
  CHECK(report.of(LeakClass::unknown).bytes == 600);
  CHECK(report.of(LeakClass::possible).blocks == 0);
}

TEST_CASE("which scan a moment means") {
  const World world;
  std::vector<LeakScan> scans(3);
  for (size_t i = 0; i < 3; ++i)
    scans[i].facts.ticks = kStartTicks + 1000 * (i + 1);
  scans[1].name = "after load";
  const auto choose = [&](const char* text) { return choose_scan(scans, *world.trace, *parse_moment(text)); };
  CHECK(choose("exit") == 2u);
  CHECK(choose("mark:after load") == 1u);
  CHECK(choose("mark:nothing") == std::nullopt);
  CHECK(choose("+2500ns") == 1u);
  CHECK(choose("+500ns") == std::nullopt);
  CHECK(choose_scan({}, *world.trace, *parse_moment("exit")) == std::nullopt);
}
