// Pointer graph and classes, on memory made up here: the nine cases of Valgrind's manual, cycles, rescues,
// and random heaps against an implementation that only follows the definitions.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <random>
#include <set>

#include "scan/block_index.h"
#include "scan/classify.h"

using namespace hl;

namespace {

// Words by address; what was never written cannot be read.
class FakeMemory : public MemoryReader {
 public:
  std::map<uint64_t, std::vector<uint64_t>> areas; // by start

  void read(std::span<Piece> pieces) override {
    for (Piece& piece : pieces) {
      piece.read_bytes = 0;
      for (; piece.read_bytes < piece.to.size(); ++piece.read_bytes) {
        const uint8_t* const byte = at(piece.address + piece.read_bytes);
        if (byte == nullptr)
          break;
        piece.to[piece.read_bytes] = *byte;
      }
    }
  }
  uint64_t& word(uint64_t address) { return *reinterpret_cast<uint64_t*>(const_cast<uint8_t*>(at(address))); }

 private:
  const uint8_t* at(uint64_t address) const {
    auto area = areas.upper_bound(address);
    if (area == areas.begin())
      return nullptr;
    --area;
    const uint64_t offset = address - area->first;
    return offset < area->second.size() * 8 ? reinterpret_cast<const uint8_t*>(area->second.data()) + offset
                                            : nullptr;
  }
};

constexpr uint64_t kHeap = 0x10000, kGlobals = 0x1000, kFile = 0x2000, kCode = 0x3000;

struct World {
  FakeMemory memory;
  std::vector<ScanBlock> blocks;
  std::vector<RootRange> roots;
  std::vector<FileRange> files = {{kFile, kFile + 0x1000, false}, {kCode, kCode + 0x1000, true}};
  uint32_t options = kScanDefault;

  explicit World(size_t heap_words = 512) {
    memory.areas[kHeap].resize(heap_words);
    memory.areas[kGlobals].resize(64);
    memory.areas[kFile].resize(64);
    roots.push_back({.kind = RootKind::global, .start = kGlobals, .bytes = 64 * 8});
  }
  // A block at word `at` of the heap.
  uint64_t block(size_t at, uint64_t bytes) {
    blocks.push_back({kHeap + at * 8, bytes, blocks.size() + 1, false});
    return blocks.back().address;
  }
  void global(size_t index, uint64_t value) { memory.word(kGlobals + index * 8) = value; }
  Classification classes() const {
    FakeMemory copy = memory;
    return classify(build_pointer_graph(blocks, roots, files, copy, options));
  }
};

LeakClass only(const World& world) {
  return world.classes().classes.at(0);
}

} // namespace

TEST_CASE("a block is found by any address in it and by none outside") {
  bool aligned = false; // as malloc's are
  SUBCASE("at multiples of 16") {
    aligned = true;
  }
  SUBCASE("anywhere") {}
  std::mt19937 random(7);
  std::vector<ScanBlock> blocks;
  uint64_t at = 0x7f0000000000;
  for (int i = 0; i < 3000; ++i) {
    const uint64_t bytes = random() % 20 == 0 ? random() % 3'000'000 : random() % 200;
    blocks.push_back({at, bytes, 0, false});
    at +=
        std::max<uint64_t>(bytes, 1) + random() % 3 * 16 + (random() % 100 == 0 ? random() % 50'000'000 : 0);
    if (aligned)
      at = (at + 15) & ~uint64_t{15};
  }
  const BlockIndex index(blocks);
  const auto naive = [&](uint64_t address) {
    for (uint32_t i = 0; i < blocks.size(); ++i)
      if (address >= blocks[i].address &&
          address - blocks[i].address < std::max<uint64_t>(blocks[i].bytes, 1))
        return i;
    return BlockIndex::kNone;
  };
  for (uint32_t i = 0; i < blocks.size(); ++i) {
    const uint64_t size = std::max<uint64_t>(blocks[i].bytes, 1);
    CHECK(index.find(blocks[i].address).block == i);
    CHECK(index.find(blocks[i].address).start);
    CHECK(index.find(blocks[i].address + size - 1).start == (size == 1));
    CHECK(index.find(blocks[i].address + size - 1).block == i);
    CHECK(index.find(blocks[i].address + size).block == naive(blocks[i].address + size));
    CHECK(index.find(blocks[i].address - 1).block == naive(blocks[i].address - 1));
    CHECK(index.find(blocks[i].address + random() % size).block == i);
  }
  CHECK(index.find(0).block == BlockIndex::kNone);
  CHECK(index.find(~uint64_t{0}).block == BlockIndex::kNone);
  CHECK(BlockIndex({}).find(1).block == BlockIndex::kNone);
}

TEST_CASE("the nine cases of Valgrind's manual") {
  using enum LeakClass;
  struct Case {
    const char* name;
    int root_to_a; // 0 none, 1 start, 2 interior
    int a_to_b;    // -1: there is no block A; the root points to B
    LeakClass a, b;
  };
  const Case cases[] = {
      {"1 root -> B", 1, -1, unknown, reachable},
      {"2 root -> A -> B", 1, 1, reachable, reachable},
      {"3 B", 0, -1, unknown, definite},
      {"4 A -> B", 0, 1, definite, indirect},
      {"5 root ~> B", 2, -1, unknown, possible},
      {"6 root -> A ~> B", 1, 2, reachable, possible},
      {"7 root ~> A -> B", 2, 1, possible, possible},
      {"8 root ~> A ~> B", 2, 2, possible, possible},
      {"9 A ~> B", 0, 2, definite, indirect},
  };
  for (const Case& c : cases) {
    CAPTURE(c.name);
    World world;
    const bool has_a = c.a_to_b >= 0;
    const uint64_t a = has_a ? world.block(0, 64) : 0;
    const uint64_t b = world.block(20, 64);
    const uint64_t first = has_a ? a : b;
    if (c.root_to_a != 0)
      world.global(3, first + (c.root_to_a == 2 ? 32 : 0));
    if (c.a_to_b > 0)
      world.memory.word(a + 40) = b + (c.a_to_b == 2 ? 32 : 0);
    const Classification found = world.classes();
    if (has_a)
      CHECK(found.classes[0] == c.a);
    CHECK(found.classes[has_a ? 1 : 0] == c.b);
    if (c.b == indirect)
      CHECK(found.holders[1] == 2 * 0 + 2);
    if (c.b == definite)
      CHECK(found.holders[0] == 0);
    if (c.b == reachable && !has_a) {
      CHECK(found.holders[0] == 1);
      CHECK(found.roots.at(0).address == kGlobals + 24);
    }
  }
}

TEST_CASE("of a lost cycle the oldest block is definitely lost, the rest goes with it") {
  World world;
  const uint64_t tail = world.block(60, 32); // the oldest, but pointed to from the cycle
  const uint64_t a = world.block(0, 32), b = world.block(10, 32), c = world.block(20, 32);
  world.memory.word(a) = b, world.memory.word(b) = c, world.memory.word(c) = a;
  world.memory.word(c + 8) = tail;
  const uint64_t alone = world.block(70, 16);
  world.memory.word(alone) = alone; // to itself: does not keep it, and is no cycle
  const Classification found = world.classes();
  // In order of address: a b c tail alone.
  CHECK(found.classes == std::vector<LeakClass>{LeakClass::definite, LeakClass::indirect, LeakClass::indirect,
                                                LeakClass::indirect, LeakClass::definite});
  CHECK(found.holders == std::vector<uint64_t>{0, 2, 2, 2, 0});
}

TEST_CASE("the end of a block is not in it, and a block of no bytes can be pointed to") {
  World world;
  world.global(0, world.block(0, 64) + 64);
  CHECK(only(world) == LeakClass::definite);
  World empty;
  empty.global(0, empty.block(0, 0));
  CHECK(only(empty) == LeakClass::reachable);
}

TEST_CASE("slack behind the requested bytes and memory between blocks are not searched") {
  World world;
  const uint64_t lost = world.block(0, 32);
  world.global(0, world.block(10, 20));     // reachable, 20 bytes: two whole words
  world.memory.word(kHeap + 12 * 8) = lost; // its slack
  world.memory.word(kHeap + 9 * 8) = lost;  // between
  CHECK(only(world) == LeakClass::definite);
  world.memory.word(kHeap + 11 * 8) = lost;
  CHECK(only(world) == LeakClass::reachable);
}

TEST_CASE("interior pointers that count as pointers to the start") {
  const auto with = [](uint64_t bytes, uint64_t offset, auto fill) {
    World world;
    const uint64_t block = world.block(0, bytes);
    fill(world, block);
    world.global(0, block + offset);
    const LeakClass rescued = only(world);
    world.options &= ~kScanHeuristics;
    CHECK(only(world) == LeakClass::possible);
    return rescued;
  };
  SUBCASE("old std::string") {
    const auto fill = [](World& w, uint64_t b) { w.memory.word(b) = 5, w.memory.word(b + 8) = 39; };
    CHECK(with(64, 24, fill) == LeakClass::reachable);
    CHECK(with(64, 32, fill) == LeakClass::possible);
    CHECK(with(72, 24, fill) == LeakClass::possible);
  }
  SUBCASE("a length in front") {
    CHECK(with(72, 8, [](World& w, uint64_t b) { w.memory.word(b) = 64; }) == LeakClass::reachable);
    CHECK(with(72, 8, [](World& w, uint64_t b) { w.memory.word(b) = 65; }) == LeakClass::possible);
  }
  SUBCASE("new[] with its count in front") {
    CHECK(with(8 + 5 * 24, 8, [](World& w, uint64_t b) { w.memory.word(b) = 5; }) == LeakClass::reachable);
    CHECK(with(8 + 5 * 24, 8, [](World& w, uint64_t b) { w.memory.word(b) = 7; }) == LeakClass::possible);
  }
  SUBCASE("a base class that is not the first") {
    const auto fill = [](World& w, uint64_t b) {
      w.memory.word(kFile + 16) = kCode + 4;
      w.memory.word(kFile + 48) = kCode + 8;
      w.memory.word(b) = kFile + 16;
      w.memory.word(b + 24) = kFile + 48;
    };
    CHECK(with(64, 24, fill) == LeakClass::reachable);
    CHECK(with(64, 32, fill) == LeakClass::possible);
    CHECK(with(64, 24, [&](World& w, uint64_t b) {
            fill(w, b);
            w.memory.word(kFile + 48) = kFile; // no code
          }) == LeakClass::possible);
  }
  SUBCASE("between blocks too") {
    World world;
    const uint64_t a = world.block(0, 32), b = world.block(10, 8 + 3 * 16);
    world.global(0, a);
    world.memory.word(a + 8) = b + 8;
    world.memory.word(b) = 3;
    CHECK(world.classes().classes[1] == LeakClass::reachable);
  }
}

TEST_CASE("thousands of interior pointers are each judged by their own block") {
  constexpr uint64_t kBlocks = 5000, kTable = 0x40000000;
  World world(kBlocks * 16 + kBlocks / 100 * 1000);
  auto& table = world.memory.areas[kTable];
  const auto is_counted = [](uint64_t i) { return i % 3 == 0; };
  for (uint64_t i = 0; i < kBlocks; ++i) {
    const uint64_t elements = 3 + i % 5, bytes = 8 + elements * 16;
    const uint64_t block = world.block(i * 16 + i / 100 * 1000, bytes); // many close together, then a gap
    world.memory.word(block) = is_counted(i) ? elements : bytes;
    table.insert(table.end(), {block + 8, block + 16});
  }
  world.roots.push_back({.kind = RootKind::global, .start = kTable, .bytes = table.size() * 8});
  const std::vector<LeakClass> classes = world.classes().classes;
  uint64_t wrong = 0;
  for (uint64_t i = 0; i < kBlocks; ++i)
    wrong += classes.at(i) != (is_counted(i) ? LeakClass::reachable : LeakClass::possible);
  CHECK(wrong == 0);
}

TEST_CASE("roots: registers, unaligned words, blocks of the loader, blocks inside a mapping") {
  World world;
  const uint64_t block = world.block(0, 32);
  world.memory.areas[kGlobals + 0x100000] = {};
  std::memcpy(reinterpret_cast<char*>(&world.memory.word(kGlobals)) + 3, &block, 8);
  CHECK(only(world) == LeakClass::definite);
  world.options |= kScanUnaligned;
  CHECK(only(world) == LeakClass::reachable);
  world.options &= ~kScanUnaligned;
  world.roots.push_back({.kind = RootKind::reg, .tid = 17, .start = 0, .bytes = 0, .words = {1, 2, block}});
  const Classification found = world.classes();
  CHECK(found.classes[0] == LeakClass::reachable);
  CHECK(found.roots.at(0).tid == 17);
  CHECK(found.roots.at(0).address == 2);
  world.roots.pop_back();
  world.blocks[0].is_root = true;
  CHECK(only(world) == LeakClass::reachable);
  world.blocks[0].is_root = false;
  // The heap itself as a mapping of the program's: a pointer in a lost block does not count, one beside it
  // does.
  world.roots.push_back({.kind = RootKind::mapping, .start = kHeap, .bytes = 100 * 8});
  const uint64_t holder = world.block(40, 32);
  world.memory.word(holder) = block;
  CHECK(world.classes().classes == std::vector<LeakClass>{LeakClass::indirect, LeakClass::definite});
  world.memory.word(kHeap + 50 * 8) = block;
  CHECK(world.classes().classes == std::vector<LeakClass>{LeakClass::reachable, LeakClass::definite});
}

TEST_CASE("a heap that two threads look at gives the same graph") {
  // As large as it takes, of zeros but for a few words.
  class Sparse : public MemoryReader {
   public:
    std::map<uint64_t, uint64_t> words;
    bool twins = true;
    void read(std::span<Piece> pieces) override {
      for (Piece& piece : pieces) {
        std::fill(piece.to.begin(), piece.to.end(), 0);
        piece.read_bytes = piece.to.size();
        for (auto w = words.lower_bound(piece.address);
             w != words.end() && w->first + 8 <= piece.address + piece.to.size(); ++w)
          std::memcpy(piece.to.data() + (w->first - piece.address), &w->second, 8);
      }
    }
    std::unique_ptr<MemoryReader> twin() const override {
      return twins ? std::make_unique<Sparse>(*this) : nullptr;
    }
  };
  std::mt19937 random(5);
  Sparse memory;
  std::vector<ScanBlock> blocks;
  for (uint64_t at = kHeap; blocks.size() < 3000; at = (at + blocks.back().bytes + 15) & ~uint64_t{15})
    blocks.push_back({at, random() % 100 == 0 ? 3'000'000 : random() % 3000, blocks.size(), false});
  for (int i = 0; i < 9000; ++i) {
    const ScanBlock& from = blocks[random() % blocks.size()];
    const ScanBlock& to = blocks[random() % blocks.size()];
    if (from.bytes >= 8)
      memory.words[from.address + random() % (from.bytes / 8) * 8] =
          to.address + (random() % 2 == 0 ? 0 : random() % (to.bytes + 1));
  }
  const PointerGraph two = build_pointer_graph(blocks, {}, {}, memory, kScanDefault);
  memory.twins = false;
  const PointerGraph one = build_pointer_graph(blocks, {}, {}, memory, kScanDefault);
  CHECK(two.edges.size() > 5000);
  CHECK(two.edges == one.edges);
  CHECK(two.edge_starts == one.edge_starts);
}

TEST_CASE("what cannot be read is counted and keeps nothing") {
  World world(64);
  const uint64_t block = world.block(0, 32);
  world.block(60, 4096);
  world.global(0, kHeap + 60 * 8);
  world.roots.push_back({.kind = RootKind::mapping, .start = 0x900000, .bytes = 64});
  FakeMemory copy = world.memory;
  const PointerGraph graph = build_pointer_graph(world.blocks, world.roots, world.files, copy, world.options);
  CHECK(graph.unreadable_bytes == 4096 - 32 + 64);
  CHECK(classify(graph).classes[0] == LeakClass::definite);
  CHECK(block == kHeap);
}

namespace {

// Word for word what docs/leaks.md says, without thought for cost.
std::vector<LeakClass> by_definition(const PointerGraph& graph) {
  const auto n = static_cast<uint32_t>(graph.blocks.size());
  const auto closure = [&](std::set<uint32_t> from, bool interior_too) {
    std::vector<uint32_t> todo(from.begin(), from.end());
    while (!todo.empty()) {
      const uint32_t b = todo.back();
      todo.pop_back();
      for (const uint32_t e : graph.edges_of(b))
        if ((interior_too || (e & PointerGraph::kInterior) == 0) &&
            from.insert(e & PointerGraph::kTarget).second)
          todo.push_back(e & PointerGraph::kTarget);
    }
    return from;
  };
  std::set<uint32_t> starts, any;
  for (const auto& r : graph.root_edges) {
    any.insert(r.target & PointerGraph::kTarget);
    if ((r.target & PointerGraph::kInterior) == 0)
      starts.insert(r.target);
  }
  const auto reachable = closure(starts, false), possible = closure(any, true);
  std::vector<std::set<uint32_t>> reach(n);
  for (uint32_t b = 0; b < n; ++b)
    reach[b] = closure({b}, true);
  std::vector<LeakClass> classes(n);
  for (uint32_t b = 0; b < n; ++b) {
    if (possible.contains(b)) {
      classes[b] = reachable.contains(b) ? LeakClass::reachable : LeakClass::possible;
      continue;
    }
    // Lost by itself: all that reaches it is in its cycle, and it is the oldest there.
    bool leads = true;
    for (uint32_t o = 0; o < n; ++o)
      if (o != b && !possible.contains(o) && reach[o].contains(b))
        leads &= reach[b].contains(o) && graph.blocks[b].birth_ticks < graph.blocks[o].birth_ticks;
    classes[b] = leads ? LeakClass::definite : LeakClass::indirect;
  }
  return classes;
}

} // namespace

TEST_CASE("random heaps are classed as the definitions say") {
  std::mt19937 random(11);
  for (int round = 0; round < 400; ++round) {
    World world(2048);
    const size_t count = 1 + random() % 40;
    size_t at = 0;
    for (size_t i = 0; i < count; ++i) {
      const size_t words = 1 + random() % 8;
      world.block(at, words * 8 - random() % 3);
      at += words + random() % 3;
    }
    std::shuffle(world.blocks.begin(), world.blocks.end(), random);
    world.options &= ~kScanHeuristics;
    const auto pointer = [&] {
      const ScanBlock& b = world.blocks[random() % count];
      return b.address + (random() % 3 == 0 ? random() % b.bytes : 0);
    };
    for (size_t i = 0, edges = random() % (2 * count + 1); i < edges; ++i) {
      const ScanBlock& b = world.blocks[random() % count];
      if (b.bytes >= 8)
        world.memory.word(b.address + random() % (b.bytes / 8) * 8) = pointer();
    }
    for (size_t i = 0, roots = random() % 3; i < roots; ++i)
      world.global(i, pointer());
    FakeMemory copy = world.memory;
    const PointerGraph graph =
        build_pointer_graph(world.blocks, world.roots, world.files, copy, world.options);
    const Classification found = classify(graph);
    CHECK(found.classes == by_definition(graph));
    // Holders lead somewhere: to a root, or to a definitely lost block.
    for (uint32_t b = 0; b < graph.blocks.size(); ++b) {
      uint64_t holder = found.holders[b];
      if (found.classes[b] == LeakClass::definite) {
        CHECK(holder == 0);
      } else if (found.classes[b] == LeakClass::indirect) {
        REQUIRE((holder != 0 && holder % 2 == 0));
        CHECK(found.classes[(holder - 2) / 2] == LeakClass::definite);
      } else {
        for (size_t steps = 0; steps <= count && holder % 2 == 0; ++steps) {
          REQUIRE(holder != 0);
          holder = found.holders[(holder - 2) / 2];
        }
        CHECK(holder % 2 == 1);
        CHECK(holder / 2 < found.roots.size());
      }
    }
  }
}
