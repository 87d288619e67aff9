// A scan's payload, written and read again; and what damaged payloads do: nothing but being refused.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <random>

#include "reader/leak_scan.h"
#include "scan/scan_payload.h"

using namespace hl;

namespace {

PointerGraph small_graph() {
  PointerGraph graph;
  graph.blocks = {{0x1000, 10, 1, false},
                  {0x2000, 20, 2, false},
                  {0x2018, 0, 3, false},
                  {0x7fff00001230, 4096, 4, false}};
  graph.edge_starts = {0, 0, 1, 1, 2};
  graph.edges = {2, 1 | PointerGraph::kInterior};
  graph.root_edges = {{0, RootKind::global, 0, 0x555000},
                      {3 | PointerGraph::kInterior, RootKind::stack, 41, 0x7ffe0010}};
  graph.root_bytes = 4711;
  graph.unreadable_bytes = 3;
  return graph;
}

std::vector<uint8_t> small_payload() {
  const PointerGraph graph = small_graph();
  const Classification found = classify(graph);
  return scan_payload({.cause = ScanCause::outside,
                       .way = ScanWay::stopped,
                       .name = "after load",
                       .ticks = 99,
                       .pause_ns = 5,
                       .duration_ns = 7,
                       .threads = 3,
                       .threads_inside = 1},
                      &graph, &found);
}

} // namespace

TEST_CASE("the first bytes of examples come back, and of nothing else") {
  class Memory final : public MemoryReader {
   public:
    void read(std::span<Piece> pieces) override {
      for (Piece& piece : pieces) {
        piece.read_bytes = piece.address == 0x2000 ? piece.to.size() : 3; // the rest cannot be read
        for (size_t i = 0; i < piece.to.size(); ++i)
          piece.to[i] = static_cast<uint8_t>(piece.address / 0x1000 + i);
      }
    }
  } memory;
  const PointerGraph graph = small_graph();
  const Classification found = classify(graph);
  // Two blocks of one site: the older is the example.
  const auto contents = example_contents(
      graph, found, [](uint64_t address) { return address < 0x3000 ? 7u : 8u; }, memory);
  const auto scan = parse_leak_scan(
      scan_payload({.cause = ScanCause::exit, .way = ScanWay::stopped}, &graph, &found, contents));
  REQUIRE(scan);
  CHECK(scan->contents_of(0x1000).size() == 3);
  REQUIRE(scan->contents_of(0x2000).size() == 20);
  CHECK(scan->contents_of(0x2000)[19] == 21);
  CHECK(scan->contents_of(0x2018).empty()); // 0 bytes long
  CHECK(scan->contents_of(0x2001).empty());
  CHECK(scan->contents_of(0x9000000000000000).empty());
}

TEST_CASE("what a scan found comes back") {
  const auto payload = small_payload();
  const auto scan = parse_leak_scan(payload);
  REQUIRE(scan);
  CHECK(scan->scanned());
  CHECK(scan->name == "after load");
  CHECK(scan->reason == "");
  CHECK(static_cast<ScanCause>(scan->facts.cause) == ScanCause::outside);
  CHECK(scan->facts.ticks == 99);
  CHECK(scan->facts.pause_ns == 5);
  CHECK(scan->facts.threads == 3);
  CHECK(scan->facts.threads_inside == 1);
  CHECK(scan->facts.block_count == 4);
  CHECK(scan->facts.block_bytes == 4126);
  CHECK(scan->facts.root_bytes == 4711);
  CHECK(scan->facts.unreadable_bytes == 3);
  CHECK(scan->addresses == std::vector<uint64_t>{0x1000, 0x2000, 0x2018, 0x7fff00001230});
  using enum LeakClass;
  CHECK(scan->classes == std::vector<LeakClass>{reachable, possible, possible, possible});
  REQUIRE(scan->roots.size() == 2);
  CHECK(scan->roots[1].kind == RootKind::stack);
  CHECK(scan->roots[1].tid == 41);
  CHECK(scan->roots[1].address == 0x7ffe0010);
  // The second block is held by the fourth, that by the stack.
  CHECK(LeakScan::block_of(scan->holders[1]) == 3);
  REQUIRE(LeakScan::is_root(scan->holders[3]));
  CHECK(LeakScan::root_of(scan->holders[3]) == 1);
  CHECK(scan->facts.class_blocks[3] == 1);
  CHECK(scan->facts.class_bytes[2] == 20 + 0 + 4096);

  const auto facts = parse_leak_scan(payload, false);
  REQUIRE(facts);
  CHECK(facts->facts.block_count == 4);
  CHECK(facts->addresses.empty());
}

TEST_CASE("a scan that could not be made says why") {
  const auto payload =
      scan_payload({.failure = ScanFailure::refused, .reason = "no ptrace here"}, nullptr, nullptr);
  const auto scan = parse_leak_scan(payload);
  REQUIRE(scan);
  CHECK(!scan->scanned());
  CHECK(scan->reason == "no ptrace here");
  CHECK(static_cast<ScanFailure>(scan->facts.failure) == ScanFailure::refused);
}

TEST_CASE("a payload that was cut or changed is refused or read, never more") {
  const auto whole = small_payload();
  for (size_t bytes = 0; bytes < whole.size(); ++bytes)
    CHECK_FALSE(parse_leak_scan(std::span(whole).first(bytes)));
  std::mt19937 random(3);
  for (int round = 0; round < 20000; ++round) {
    auto changed = whole;
    for (int i = 0; i < 1 + round % 3; ++i)
      changed[random() % changed.size()] = static_cast<uint8_t>(random());
    if (const auto scan = parse_leak_scan(changed)) {
      CHECK(scan->holders.size() == scan->addresses.size());
      for (const uint64_t holder : scan->holders)
        if (holder != LeakScan::kNoHolder)
          CHECK((LeakScan::is_root(holder) ? LeakScan::root_of(holder) < scan->roots.size()
                                           : LeakScan::block_of(holder) < scan->addresses.size()));
    }
  }
}
