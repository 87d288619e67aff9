// Managed heaps, by every kind of evidence there is for each: the kernel's name, a recorded prctl, the code
// that called mmap, the shape. Maps as the runtimes make them; and what must not be taken for one.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <fstream>
#include <map>
#include <string>

#include "analyses/memory_report.h"
#include "testing/memory_payloads.h"
#include "testing/trace_builder.h"

#include <unistd.h>

using namespace hl;
using namespace hl::testing;

namespace {

constexpr uint64_t kMiB = 1 << 20, kGiB = 1 << 30;

std::string mapping(uint64_t start, uint64_t end, const char* rights, const char* name,
                    uint64_t rss_kib = 4) {
  char line[300];
  std::snprintf(line, sizeof line, "%llx-%llx %s 00000000 00:00 0 %s\nRss: %llu kB\nPrivate_Dirty: %llu kB\n",
                static_cast<unsigned long long>(start), static_cast<unsigned long long>(end), rights, name,
                static_cast<unsigned long long>(rss_kib), static_cast<unsigned long long>(rss_kib));
  return line;
}

RegionMap map_of(const std::string& text) {
  ResidencySample sample;
  sample.smaps = text;
  return make_region_map(sample, {});
}

std::string fixture(const std::string& name) {
  std::ifstream file(std::string(HL_MEMORY_FIXTURES) + "/" + name);
  REQUIRE(file);
  return {std::istreambuf_iterator<char>(file), {}};
}

const Region& at(const RegionMap& map, uint64_t address) {
  for (const Region& region : map.regions)
    if (region.start <= address && address < region.end)
      return region;
  FAIL("no region there");
  return map.regions[0];
}

void check_region(const RegionMap& map, uint64_t address, RegionKind kind, const std::string& category,
                  RegionEvidence evidence) {
  const Region& region = at(map, address);
  CHECK(region.kind == kind);
  CHECK(category_of(region) == category);
  CHECK(region.evidence == evidence);
}

} // namespace

TEST_CASE("names in smaps") {
  struct {
    const char* name;
    const char* category;
  } const cases[] = {{"[anon:dart-heap]", "dart-heap"},
                     {"[anon:dart-code]", "dart-code"},
                     {"[anon: Go: heap]", "go-heap"},
                     {"[anon: Go: gc bits]", "go-other"},
                     {"[anon:dalvik-main space (region space)]", "dalvik-heap"},
                     {"[anon:dalvik-LinearAlloc]", "dalvik-other"},
                     {"[anon:dalvik-/system/framework/boot.art]", "dalvik-heap"},
                     {"[anon:js-gc-heap]", "js-gc-heap"},
                     {"[anon:v8]", "v8"},
                     {"/memfd:doublemapper (deleted)", "dotnet-code"},
                     {"/memfd:java_heap (deleted)", "java-heap"},
                     {"/memfd:jit-cache (deleted)", "dalvik-code"}};
  for (const auto& one : cases) {
    CAPTURE(one.name);
    check_region(map_of(mapping(0x10000000, 0x10100000, "rw-p", one.name)), 0x10000000, RegionKind::managed,
                 one.category, RegionEvidence::kernel_name);
  }
  CHECK(at(map_of(mapping(0x10000000, 0x10100000, "rw-p", "[anon:my cache]")), 0x10000000).kind ==
        RegionKind::anonymous);
  CHECK(
      at(map_of(mapping(0x10000000, 0x10100000, "rw-p", "[anon:scudo:primary]")), 0x10000000).is_allocator());
  CHECK(at(map_of(mapping(0x10000000, 0x10100000, "rw-p", "[anon:.bss]")), 0x10000000).kind ==
        RegionKind::bss);
  const RegionMap stack = map_of(mapping(0x10000000, 0x10100000, "rw-p", "[anon:stack_and_tls:4712]"));
  CHECK(stack.regions[0].kind == RegionKind::thread_stack);
  CHECK(stack.regions[0].tid == 4712);
}

TEST_CASE("Dart by shape: aligned pages of 512 KiB, only where its runtime is mapped") {
  const std::string heap = mapping(0x7f0000080000, 0x7f0000180000, "rw-p", "", 900) +
                           mapping(0x7f0000281000, 0x7f0000300000, "rw-p", "") +
                           mapping(0x7f0000400000, 0x7f0000411000, "r-xp", "");
  const std::string runtime = mapping(0x7f1000000000, 0x7f1000400000, "r-xp", "/opt/app/libflutter.so");
  const RegionMap map = map_of(heap + runtime);
  check_region(map, 0x7f0000080000, RegionKind::managed, "dart-heap", RegionEvidence::shape);
  check_region(map, 0x7f0000281000, RegionKind::unknown, "unknown", RegionEvidence::none);
  check_region(map, 0x7f0000400000, RegionKind::managed, "dart-code", RegionEvidence::shape);
  check_region(map_of(heap), 0x7f0000080000, RegionKind::unknown, "unknown", RegionEvidence::none);
}

TEST_CASE("V8 by shape: aligned chunks of 256 KiB, and large objects at places of their own") {
  const RegionMap map = map_of(mapping(0x400000, 0x5000000, "r-xp", "/usr/bin/node") +
                               mapping(0x1e48d80000, 0x1e48dc0000, "rw-p", "", 200) +
                               mapping(0x2e48d80000, 0x2e48da1000, "rw-p", "", 100) +
                               mapping(0x7f0000000000, 0x7f0000001000, "r--p", "/etc/hosts") +
                               mapping(0x7f0000001000, 0x7f0000030000, "rw-p", ""));
  check_region(map, 0x1e48d80000, RegionKind::managed, "v8-heap", RegionEvidence::shape);
  check_region(map, 0x2e48d80000, RegionKind::managed, "v8-heap", RegionEvidence::shape);
  check_region(map, 0x7f0000001000, RegionKind::unknown, "unknown", RegionEvidence::none);
}

TEST_CASE("HotSpot by shape: below 32 GiB, its class space from there on, its code executable") {
  const RegionMap map = map_of(
      mapping(0xf3800000, 0xf6c00000, "rw-p", "", 50000) + mapping(0xf6c00000, 0x100000000, "---p", "", 0) +
      mapping(0x800000000, 0x800100000, "rw-p", "", 900) +
      mapping(0x7f2000000000, 0x7f2000270000, "rwxp", "", 900) +
      mapping(0x7f3000000000, 0x7f3001000000, "r-xp", "/usr/lib/jvm/lib/server/libjvm.so"));
  check_region(map, 0xf3800000, RegionKind::managed, "java-heap", RegionEvidence::shape);
  check_region(map, 0xf6c00000, RegionKind::managed, "java-heap", RegionEvidence::shape);
  check_region(map, 0x800000000, RegionKind::managed, "java-class-space", RegionEvidence::shape);
  check_region(map, 0x7f2000000000, RegionKind::managed, "java-code", RegionEvidence::shape);
}

TEST_CASE("Go before 1.25 by shape: its first arena is at a fixed address") {
  const RegionMap map = map_of(mapping(0x400000, 0x500000, "r-xp", "/opt/server") +
                               mapping(0xc000000000, 0xc000400000, "rw-p", "", 3000) +
                               mapping(0xc000400000, 0xc004000000, "---p", "", 0) +
                               mapping(0x7f0000000000, 0x7f0000100000, "rw-p", "") +
                               mapping(0x7f1000000000, 0x7f1000100000, "r-xp", "/lib/libc.so.6"));
  check_region(map, 0xc000000000, RegionKind::managed, "go-heap", RegionEvidence::shape);
  check_region(map, 0xc000400000, RegionKind::managed, "go-heap", RegionEvidence::shape);
  check_region(map, 0x7f0000000000, RegionKind::unknown, "unknown", RegionEvidence::none);
}

TEST_CASE("Java 17 as the kernel told of it: what the JVM itself calls its memory (NativeMemoryTracking)") {
  const RegionMap map = map_of(fixture("smaps_java17.txt"));
  std::map<std::string, uint64_t> size, rss;
  for (const Region& region : map.regions) {
    size[category_of(region)] += region.bytes();
    rss[category_of(region)] += region.rss;
  }
  constexpr uint64_t kArchived = (468 + 480) * 1024; // of the heap, mapped from the archive of classes
  CHECK(size["java-heap"] + kArchived == 256 * kMiB);
  CHECK(rss["java-heap"] == 54848 * 1024);
  CHECK(size["java-metaspace"] == 64 * kMiB);
  CHECK(rss["java-metaspace"] == 696 * 1024);
  CHECK(size["java-class-space"] == kGiB + 0x439000); // and the end of the archive's reservation
  CHECK(rss["java-class-space"] == 84 * 1024);
  CHECK(size["java-code"] == 240 * kMiB);
  // The class space begins as glibc's arenas do, and real ones follow it.
  check_region(map, 0x7f2eb8000000, RegionKind::managed, "java-class-space", RegionEvidence::shape);
  check_region(map, 0x7f2ef8000000, RegionKind::heap_arena, "heap", RegionEvidence::shape);
  check_region(map, 0x7f2e94000000, RegionKind::heap_arena, "heap", RegionEvidence::shape);
}

TEST_CASE("a static Go program as the kernel told of it: all that has no name is Go's") {
  const RegionMap map = map_of(fixture("smaps_go119_static.txt"));
  std::map<std::string, uint64_t> size;
  for (const Region& region : map.regions)
    size[category_of(region)] += region.bytes();
  CHECK(size["go-heap"] == 64 * kMiB);
  CHECK(size["go-other"] > 600 * kMiB);
  CHECK(size["unknown"] == 0);
  check_region(map, 0xc000000000, RegionKind::managed, "go-heap", RegionEvidence::shape);
  check_region(map, 0x7f32565af000, RegionKind::managed, "go-other", RegionEvidence::shape);
}

TEST_CASE(".NET by shape: parts of one huge reservation, where its runtime is mapped") {
  const std::string heap = mapping(0x7e0000000000, 0x7e0000200000, "rw-p", "", 1000) +
                           mapping(0x7e0000200000, 0x7e0000400000, "---p", "", 0) +
                           mapping(0x7e0000400000, 0x7e0000500000, "rw-p", "", 1000) +
                           mapping(0x7e0000500000, 0x7e0000500000 + 200 * kGiB, "---p", "", 0);
  const std::string runtime =
      mapping(0x7f1000000000, 0x7f1000400000, "r-xp", "/usr/share/dotnet/libcoreclr.so");
  const RegionMap map = map_of(heap + runtime);
  for (const uint64_t address : {0x7e0000000000, 0x7e0000400000, 0x7e0000500000})
    check_region(map, address, RegionKind::managed, "dotnet-heap", RegionEvidence::shape);
  check_region(map_of(heap), 0x7e0000000000, RegionKind::unknown, "unknown", RegionEvidence::none);
}

namespace {

// A trace with one sample at 5000, written and read back.
class Recorded {
 public:
  explicit Recorded(uint8_t heap_kind = 0)
      : path_("/tmp/hl-memory-map-test-" + std::to_string(::getpid()) + ".hlt") {
    TraceBuilder::Identity identity;
    identity.heap_kind = heap_kind;
    builder.begin(identity);
  }
  ~Recorded() { ::unlink(path_.c_str()); }

  TracedMemory report(const std::string& smaps, const std::string& moment = "exit") {
    ResidencySample sample;
    sample.ticks = sample.end_ticks = kStartTicks + 5000;
    sample.cause = SampleCause::exit;
    sample.flags = kResidencyConsistent;
    sample.smaps = smaps;
    builder.flush(UINT64_MAX);
    builder.chunk(ChunkKind::residency, residency_payload(sample), 1, sample.ticks, sample.ticks);
    builder.close().write(path_);
    trace = Trace::open(path_);
    const Moment asked = *parse_moment(moment);
    std::string why;
    const auto limits = resolve_moment(*trace, asked, why);
    REQUIRE(limits.has_value());
    auto traced = report_on_trace(*trace, {.moment = asked, .limits = *limits}, {});
    REQUIRE(traced.has_value());
    return std::move(*traced);
  }

  TraceBuilder builder;
  std::unique_ptr<Trace> trace;

 private:
  std::string path_;
};

} // namespace

TEST_CASE("a name given by prctl counts although the kernel does not know it") {
  Recorded recorded;
  recorded.builder.module(1, "/opt/dart/bin/dart", 0x400000, 0x500000, true);
  const StackId stack = recorded.builder.node(0, 1, 0x400100);
  const uint64_t heap = 0x7f0000080000;
  // address, length, prot, flags, ticks before, descriptor (zigzag), offset: as ExtendedKind says
  recorded.builder.add_extended(1, 100, ExtendedKind::mmap, {heap, kMiB, 3, 0x22, 1, 0, 0}, "", stack);
  recorded.builder.add_extended(1, 200, ExtendedKind::vma_name, {heap, 512 * 1024, zigzag(-22)}, "dart-heap",
                                stack);
  const TracedMemory traced = recorded.report(mapping(heap, heap + kMiB, "rw-p", "", 1024));
  const RegionMap& map = traced.report.map;
  REQUIRE(map.regions.size() == 2);
  check_region(map, heap, RegionKind::managed, "dart-heap", RegionEvidence::given_name);
  CHECK(map.regions[0].end == heap + 512 * 1024);
  CHECK(map.regions[0].rss + map.regions[1].rss == kMiB);
  CHECK(map.regions[0].site != 0);
  // The other half: mapped by Dart's own code, and aligned.
  check_region(map, heap + 512 * 1024, RegionKind::managed, "dart-heap", RegionEvidence::call);
}

TEST_CASE("with cgo, what mapped Go's heap maps for Go") {
  Recorded recorded;
  recorded.builder.module(1, "/opt/server", 0x400000, 0x500000, true);
  const StackId first = recorded.builder.node(0, 1, 0x400100),
                second = recorded.builder.node(first, 1, 0x400100);
  const StackId own = recorded.builder.node(0, 1, 0x400200);
  const uint64_t heap = 0xc000000000, tables = 0x7f0000010000, mine = 0x7f0000110000;
  recorded.builder.add_extended(1, 100, ExtendedKind::mmap, {heap, 4 * kMiB, 3, 0x22, 1, 0, 0}, "", first);
  recorded.builder.add_extended(1, 200, ExtendedKind::mmap, {tables, 0x10000, 3, 0x22, 1, 0, 0}, "", second);
  recorded.builder.add_extended(1, 300, ExtendedKind::mmap, {mine, 0x10000, 3, 0x22, 1, 0, 0}, "", own);
  const TracedMemory traced = recorded.report(
      mapping(heap, heap + 4 * kMiB, "rw-p", "", 1024) + mapping(tables, tables + 0x10000, "rw-p", "", 64) +
      mapping(mine, mine + 0x10000, "rw-p", "", 64) +
      mapping(0x7f1000000000, 0x7f1000100000, "r-xp", "/lib/libc.so.6"));
  const RegionMap& map = traced.report.map;
  check_region(map, heap, RegionKind::managed, "go-heap", RegionEvidence::call);
  check_region(map, tables, RegionKind::managed, "go-other", RegionEvidence::call);
  check_region(map, mine, RegionKind::anonymous, "anonymous", RegionEvidence::call);
}

TEST_CASE("a .NET program in one file has the runtime in it: whoever maps its code") {
  Recorded recorded;
  recorded.builder.module(1, "/opt/tool", 0x400000, 0x500000, true);
  recorded.builder.module(2, "/opt/plugin.so", 0x600000, 0x700000, false);
  const StackId runtime = recorded.builder.node(0, 1, 0x400100), also = recorded.builder.node(0, 1, 0x400200),
                other = recorded.builder.node(0, 2, 0x600100);
  const uint64_t code = 0x7f0000000000, heap = 0x7f1000000000, tables = 0x7e2000000000,
                 plugin = 0x7e3000000000;
  const uint64_t reserved = uint64_t{256} << 30;
  recorded.builder.add_extended(1, 100, ExtendedKind::mmap, {code, 0x10000, 5, 1, 4, 0, 0}, "", runtime);
  recorded.builder.add_extended(1, 200, ExtendedKind::mmap, {heap, reserved, 0, 0x22, 1, 0, 0}, "", also);
  recorded.builder.add_extended(1, 300, ExtendedKind::mmap, {tables, 0x10000, 3, 0x22, 1, 0, 0}, "", also);
  recorded.builder.add_extended(1, 400, ExtendedKind::mmap, {plugin, 0x10000, 3, 0x22, 1, 0, 0}, "", other);
  const TracedMemory traced = recorded.report(
      mapping(code, code + 0x10000, "r-xs", "/memfd:doublemapper (deleted)", 64) +
      mapping(heap, heap + 0x10000, "rw-p", "", 64) + mapping(heap + 0x10000, heap + reserved, "---p", "") +
      mapping(tables, tables + 0x10000, "rw-p", "", 64) + mapping(plugin, plugin + 0x10000, "rw-p", "", 64));
  const RegionMap& map = traced.report.map;
  check_region(map, code, RegionKind::managed, "dotnet-code", RegionEvidence::kernel_name);
  check_region(map, heap, RegionKind::managed, "dotnet-heap", RegionEvidence::call);
  check_region(map, tables, RegionKind::managed, "dotnet-other", RegionEvidence::call);
  check_region(map, plugin, RegionKind::anonymous, "anonymous", RegionEvidence::call);
}

TEST_CASE("what the allocator's library maps is the heap's without a block in it, unless it is not in use") {
  for (const bool in_use : {true, false}) {
    Recorded recorded(in_use ? 4 : 1); // mimalloc, glibc
    recorded.builder.module(1, "/usr/lib/libmimalloc.so.2.0", 0x400000, 0x500000, true);
    const StackId stack = recorded.builder.node(0, 1, 0x400100);
    const uint64_t segment = 0x7f0002000000;
    recorded.builder.add_extended(1, 100, ExtendedKind::mmap, {segment, 32 * kMiB, 3, 0x22, 1, 0, 0}, "",
                                  stack);
    const TracedMemory traced = recorded.report(mapping(segment, segment + 32 * kMiB, "rw-p", "", 128));
    check_region(traced.report.map, segment, in_use ? RegionKind::heap_other : RegionKind::anonymous,
                 in_use ? "heap" : "anonymous", RegionEvidence::call);
  }
}

TEST_CASE("maps of the program itself are told apart by their call sites") {
  Recorded recorded;
  recorded.builder.module(1, "/usr/bin/app", 0x400000, 0x500000, true);
  const StackId first = recorded.builder.node(0, 1, 0x400100), second = recorded.builder.node(0, 1, 0x400200);
  const uint64_t base = 0x7f0000010000;
  recorded.builder.add_extended(1, 100, ExtendedKind::mmap, {base, 0x10000, 3, 0x22, 1, 0, 0}, "", first);
  recorded.builder.add_extended(1, 200, ExtendedKind::mmap, {base + 0x10000, 0x20000, 3, 0x22, 1, 0, 0}, "",
                                second);
  const TracedMemory traced = recorded.report(mapping(base, base + 0x40000, "rw-p", "", 256));
  const RegionMap& map = traced.report.map;
  REQUIRE(map.regions.size() == 3);
  CHECK(map.regions[0].kind == RegionKind::anonymous);
  CHECK(map.regions[0].evidence == RegionEvidence::call);
  CHECK(map.regions[0].bytes() == 0x10000);
  CHECK(map.regions[1].bytes() == 0x20000);
  CHECK(map.regions[0].site != map.regions[1].site);
  const auto& stacks = traced.heap.result().site_stacks;
  CHECK(stacks[map.regions[0].site] == first);
  CHECK(stacks[map.regions[1].site] == second);
  CHECK(map.regions[2].kind == RegionKind::unknown);
  CHECK(mapping_stacks(traced.report, traced.heap.result()).size() == 2);
}

TEST_CASE("a stack is its thread's while the thread lives") {
  const uint64_t guard = 0x7f0000000000, stack = guard + 0x1000, end = stack + 8 * kMiB;
  const std::string smaps = mapping(guard, stack, "---p", "", 0) + mapping(stack, end, "rw-p", "", 40) +
                            mapping(0x7ffc00000000, 0x7ffc00021000, "rw-p", "[stack]", 20);
  {
    Recorded recorded;
    recorded.builder.add_extended(2, 100, ExtendedKind::thread_start, {4712, end - 2304});
    recorded.builder.add_extended(2, 110, ExtendedKind::thread_name, {4712}, "worker");
    const TracedMemory traced = recorded.report(smaps);
    const RegionMap& map = traced.report.map;
    check_region(map, stack, RegionKind::thread_stack, "stack", RegionEvidence::thread);
    CHECK(at(map, stack).name == "thread 4712 (worker)");
    CHECK(at(map, stack).tid == 4712);
    CHECK(at(map, guard).kind == RegionKind::thread_stack);
    CHECK(at(map, 0x7ffc00000000).kind == RegionKind::main_stack);
  }
  Recorded recorded;
  recorded.builder.add_extended(2, 100, ExtendedKind::thread_start, {4712, end - 2304});
  recorded.builder.add_extended(2, 200, ExtendedKind::thread_exit, {4712});
  const TracedMemory traced = recorded.report(smaps);
  check_region(traced.report.map, stack, RegionKind::thread_stack, "stack", RegionEvidence::shape);
  CHECK(at(traced.report.map, stack).tid == 0);
}

TEST_CASE("categories add up to the sample, and the moment finds its sample") {
  Recorded recorded;
  const TracedMemory traced = recorded.report(mapping(0x400000, 0x500000, "r-xp", "/usr/bin/app", 100) +
                                                  mapping(0x1000000, 0x2000000, "rw-p", "[heap]", 3000) +
                                                  mapping(0x7f0000000000, 0x7f0000100000, "rw-p", "", 44),
                                              "+9us");
  const MemoryReport& report = traced.report;
  REQUIRE(report.samples.size() == 1);
  uint64_t rss = 0;
  for (const auto& [name, numbers] : report.samples[0].categories)
    rss += numbers.rss;
  CHECK(rss == 3144 * 1024);
  CHECK(report.samples[0].total.rss == 3144 * 1024);
  CHECK(report.samples[0].categories.at("heap").rss == 3000 * 1024);
  CHECK(report.samples[0].categories.at("code").rss == 100 * 1024);
  CHECK(report.samples[0].categories.at("unknown").rss == 44 * 1024);
  CHECK(report.wanted_ticks != 0);
}
