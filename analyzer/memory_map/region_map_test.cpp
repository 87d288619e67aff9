// Regions from synthetic maps: what each rule makes of the shape it is for, and that no byte is lost.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <cstdio>
#include <string>

#include "memory_map/region_map.h"
#include "memory_map/shares.h"

using namespace hl;

namespace {

constexpr uint64_t kMiB = 1 << 20;

// A text of smaps, mapping by mapping.
struct Text {
  std::string text;
  Text& map(uint64_t start, uint64_t end, const char* rights, const char* name, uint64_t rss_kib = 0,
            uint64_t dirty_kib = 0) {
    char line[400];
    std::snprintf(line, sizeof line,
                  "%llx-%llx %s 00000000 08:01 %d                     %s\nRss: %llu kB\nPss: %llu kB\n"
                  "Private_Clean: %llu kB\nPrivate_Dirty: %llu kB\nAnonymous: %llu kB\n",
                  static_cast<unsigned long long>(start), static_cast<unsigned long long>(end), rights,
                  name[0] == '/' ? 12 : 0, name, static_cast<unsigned long long>(rss_kib),
                  static_cast<unsigned long long>(rss_kib),
                  static_cast<unsigned long long>(rss_kib - dirty_kib),
                  static_cast<unsigned long long>(dirty_kib), static_cast<unsigned long long>(dirty_kib));
    text += line;
    return *this;
  }
};

ResidencySample sample_of(const Text& text) {
  ResidencySample sample;
  sample.smaps = text.text;
  sample.flags = kResidencyConsistent;
  sample.ticks = 1000;
  return sample;
}

// Every byte of every mapping in one region; numbers add up.
void check_invariant(const RegionMap& map) {
  size_t next = 0;
  for (uint32_t i = 0; i < map.vmas.size(); ++i) {
    uint64_t at = map.vmas[i].start, rss = 0, pss = 0, dirty = 0, clean = 0, swap = 0;
    for (; next < map.regions.size() && map.regions[next].vma == i; ++next) {
      const Region& region = map.regions[next];
      CHECK(region.start == at);
      CHECK(region.end > region.start);
      CHECK(region.rss <= region.bytes());
      at = region.end;
      rss += region.rss;
      pss += region.pss;
      dirty += region.private_dirty;
      clean += region.private_clean;
      swap += region.swap;
    }
    CHECK(at == map.vmas[i].end);
    CHECK(rss == map.vmas[i].numbers.rss);
    CHECK(pss == map.vmas[i].numbers.pss);
    CHECK(dirty == map.vmas[i].numbers.private_dirty);
    CHECK(clean == map.vmas[i].numbers.private_clean);
    CHECK(swap == map.vmas[i].numbers.swap);
  }
  CHECK(next == map.regions.size());
}

RegionMap map_of(const Text& text, const RegionSources& sources = {}) {
  RegionMap map = make_region_map(sample_of(text), sources);
  check_invariant(map);
  return map;
}

const Region& at(const RegionMap& map, uint64_t address) {
  for (const Region& region : map.regions)
    if (region.start <= address && address < region.end)
      return region;
  FAIL("no region there");
  return map.regions[0];
}

HeapBlock block(uint64_t address, uint64_t usable, uint32_t site = 1) {
  return {address, usable, usable, 1, site, 1};
}

} // namespace

TEST_CASE("the segments of a program are told apart") {
  const RegionMap map = map_of(Text()
                                   .map(0x400000, 0x401000, "r--p", "/usr/bin/app", 4)
                                   .map(0x401000, 0x405000, "r-xp", "/usr/bin/app", 16)
                                   .map(0x405000, 0x406000, "r--p", "/usr/bin/app", 4)
                                   .map(0x406000, 0x407000, "r--p", "/usr/bin/app", 4, 4)
                                   .map(0x407000, 0x408000, "rw-p", "/usr/bin/app", 4, 4)
                                   .map(0x408000, 0x40a000, "rw-p", "", 8, 8)
                                   .map(0x1400000, 0x1421000, "rw-p", "[heap]", 100, 100)
                                   .map(0x2000000, 0x2001000, "rw-p", "", 4, 4)
                                   .map(0x3000000, 0x3001000, "r--p", "/etc/data", 4)
                                   .map(0x7ffc0000, 0x7ffe0000, "rw-p", "[stack]", 12, 12)
                                   .map(0x7fff0000, 0x7fff1000, "r-xp", "[vdso]", 4));
  CHECK(at(map, 0x400000).kind == RegionKind::read_only_data);
  CHECK(at(map, 0x401000).kind == RegionKind::code);
  CHECK(at(map, 0x405000).kind == RegionKind::read_only_data);
  CHECK(at(map, 0x406000).kind == RegionKind::data); // relocated, then protected
  CHECK(at(map, 0x407000).kind == RegionKind::data);
  CHECK(at(map, 0x408000).kind == RegionKind::bss);
  CHECK(at(map, 0x408000).name == "/usr/bin/app");
  CHECK(at(map, 0x408000).evidence == RegionEvidence::shape);
  CHECK(at(map, 0x1400000).kind == RegionKind::heap_brk);
  CHECK(at(map, 0x2000000).kind == RegionKind::unknown);
  CHECK(at(map, 0x2000000).evidence == RegionEvidence::none);
  CHECK(at(map, 0x3000000).kind == RegionKind::file);
  CHECK(at(map, 0x7ffc0000).kind == RegionKind::main_stack);
  CHECK(at(map, 0x7fff0000).kind == RegionKind::kernel);
}

TEST_CASE("where brk follows .bss without a gap the recorded extent of the module parts them") {
  ModuleTable modules;
  TraceModule app;
  app.id = 1;
  app.path = "/usr/bin/app";
  app.start = 0x400000;
  app.end = 0x40a800;
  modules.set(app);
  RegionSources sources;
  sources.modules = &modules;
  const RegionMap map = map_of(Text()
                                   .map(0x400000, 0x405000, "r-xp", "/usr/bin/app", 16)
                                   .map(0x405000, 0x406000, "rw-p", "/usr/bin/app", 4, 4)
                                   .map(0x406000, 0x430000, "rw-p", "[heap]", 100, 100),
                               sources);
  REQUIRE(map.regions.size() == 4);
  CHECK(map.regions[2].kind == RegionKind::bss);
  CHECK(map.regions[2].evidence == RegionEvidence::module);
  CHECK(map.regions[2].end == 0x40b000);
  CHECK(map.regions[3].kind == RegionKind::heap_brk);
}

TEST_CASE("a block with a mapping of its own is cut out of what the kernel merged it with") {
  ResidencySample sample = sample_of(Text().map(0x7f0000000000, 0x7f0000100000, "rw-p", "", 140, 140));
  sample.pages = {{0x7f0000000000, 0x7f0000003000, PageState::anonymous},
                  {0x7f0000040000, 0x7f0000060000, PageState::anonymous}};
  const std::vector<HeapBlock> blocks = {block(0x7f0000040010, 0x40000 - 16)};
  RegionSources sources;
  sources.blocks = blocks;
  const RegionMap map = make_region_map(sample, sources);
  check_invariant(map);
  REQUIRE(map.regions.size() == 3);
  CHECK(map.regions[0].kind == RegionKind::unknown);
  CHECK(map.regions[0].rss == 12 * 1024);
  CHECK(map.regions[1].kind == RegionKind::heap_mapped);
  CHECK(map.regions[1].start == 0x7f0000040000);
  CHECK(map.regions[1].end == 0x7f0000080000);
  CHECK(map.regions[1].rss == 128 * 1024);
  CHECK(map.regions[1].site == 1);
  CHECK(map.regions[2].kind == RegionKind::unknown);
  CHECK(map.regions[2].rss == 0);
}

TEST_CASE("an arena is known by its aligned slot, whose rest is reserved") {
  const uint64_t slot = 0x7f0010000000; // a multiple of 64 MiB
  const RegionMap map = map_of(Text()
                                   .map(slot, slot + 0x21000, "rw-p", "", 60, 60)
                                   .map(slot + 0x21000, slot + 64 * kMiB, "---p", "")
                                   .map(slot + 68 * kMiB, slot + 69 * kMiB, "rw-p", "", 4, 4));
  CHECK(at(map, slot).kind == RegionKind::heap_arena);
  CHECK(at(map, slot).evidence == RegionEvidence::shape);
  CHECK(at(map, slot + 0x21000).kind == RegionKind::heap_arena);
  CHECK(at(map, slot + 68 * kMiB).kind == RegionKind::unknown);
  SUBCASE("two that the kernel merged: live blocks tell") {
    const std::vector<HeapBlock> blocks = {block(slot + 0x8b0, 24), block(slot + 64 * kMiB + 0x30, 24)};
    RegionSources sources;
    sources.blocks = blocks;
    const RegionMap full = map_of(Text()
                                      .map(slot, slot + 64 * kMiB + 0x30000, "rw-p", "", 600, 600)
                                      .map(slot + 64 * kMiB + 0x30000, slot + 128 * kMiB, "---p", ""),
                                  sources);
    REQUIRE(full.regions.size() == 3);
    CHECK(full.regions[0].kind == RegionKind::heap_arena);
    CHECK(full.regions[0].end == slot + 64 * kMiB);
    CHECK(full.regions[1].kind == RegionKind::heap_arena);
    CHECK(full.regions[1].evidence == RegionEvidence::blocks);
  }
}

TEST_CASE("live blocks make memory an allocator's") {
  const std::vector<HeapBlock> blocks = {block(0x7f0000001400, 64)};
  RegionSources sources;
  sources.blocks = blocks;
  const RegionMap map = map_of(Text().map(0x7f0000000000, 0x7f0000200000, "rw-p", "", 40, 40), sources);
  CHECK(map.regions[0].kind == RegionKind::heap_other);
  CHECK(map.regions[0].evidence == RegionEvidence::blocks);
  CHECK(map.regions[0].is_allocator());
}

TEST_CASE("memory of the recording is its own, whatever it lies in") {
  ResidencySample sample =
      sample_of(Text()
                    .map(0x7f0000000000, 0x7f0000010000, "rw-p", "", 64, 64)
                    .map(0x7f0000100000, 0x7f0000110000, "rw-s", "/dev/shm/t.hlt.session", 64)
                    .map(0x7f0000200000, 0x7f0000210000, "r-xp", "/opt/libheapledger.so", 64)
                    .map(0x7f0000210000, 0x7f0000211000, "rw-p", "/opt/libheapledger.so", 4, 4)
                    .map(0x7f0000211000, 0x7f0000212000, "rw-p", "", 4, 4));
  sample.own = {{0x7f0000004000, 0x7f0000008000}};
  TraceMetadata metadata;
  metadata.session_path = "/dev/shm/t.hlt.session";
  RegionSources sources;
  sources.metadata = &metadata;
  const RegionMap map = make_region_map(sample, sources);
  check_invariant(map);
  CHECK(at(map, 0x7f0000000000).kind == RegionKind::unknown);
  CHECK(at(map, 0x7f0000004000).kind == RegionKind::own);
  CHECK(at(map, 0x7f0000004000).bytes() == 0x4000);
  CHECK(at(map, 0x7f0000008000).kind == RegionKind::unknown);
  for (const uint64_t address : {0x7f0000100000, 0x7f0000200000, 0x7f0000210000, 0x7f0000211000}) {
    CHECK(at(map, address).kind == RegionKind::own);
    CHECK(at(map, address).evidence == RegionEvidence::session);
  }
}

TEST_CASE("zero pages look resident but are not: they give way where the kernel counts less") {
  ResidencySample sample = sample_of(Text().map(0x10000, 0x20000, "rw-p", "", 32, 32));
  sample.own = {{0x18000, 0x20000}};
  sample.pages = {{0x10000, 0x14000, PageState::anonymous},
                  {0x18000, 0x1c000, PageState::anonymous},
                  {0x1c000, 0x20000, PageState::shared_anonymous}};
  const RegionMap map = make_region_map(sample, {});
  check_invariant(map);
  REQUIRE(map.regions.size() == 2);
  CHECK(map.regions[0].rss == 16 * 1024);
  CHECK(map.regions[1].rss == 16 * 1024);
}

TEST_CASE("parts add up to the whole, within their limits") {
  const std::vector<uint64_t> weights = {1, 1, 1}, limits = {100 * 1024, 100 * 1024, 100 * 1024};
  const auto parts = share_out(10 * 1024, weights, limits);
  CHECK(parts[0] + parts[1] + parts[2] == 10 * 1024);
  CHECK(parts[0] == 4 * 1024);
  CHECK(parts[2] == 3 * 1024);
  const std::vector<uint64_t> heavy = {1000, 1, 0}, small = {4096, 8192, 1 << 20};
  const auto pushed = share_out(64 * 1024, heavy, small);
  CHECK(pushed == std::vector<uint64_t>{4096, 8192, 52 * 1024});
  const std::vector<uint64_t> none = {0, 0};
  const std::vector<uint64_t> room = {1024, 3072};
  CHECK(share_out(4096, none, room) == std::vector<uint64_t>{1024, 3072});
}
