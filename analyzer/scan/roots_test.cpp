// Which memory of a process counts as roots, from a map, threads and mappings as they might be.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <map>

#include "scan/interrupted_call.h"
#include "scan/main_arena.h"
#include "scan/process_maps.h"
#include "scan/process_status.h"
#include "scan/roots.h"

using namespace hl;

namespace {

// Words at addresses; everything else reads as zeros.
class SparseMemory : public MemoryReader {
 public:
  std::map<uint64_t, uint64_t> words;
  void read(std::span<Piece> pieces) override {
    for (Piece& piece : pieces) {
      std::fill(piece.to.begin(), piece.to.end(), uint8_t{0});
      for (auto at = words.lower_bound(piece.address);
           at != words.end() && at->first + 8 <= piece.address + piece.to.size(); ++at)
        std::memcpy(&piece.to[at->first - piece.address], &at->second, 8);
      piece.read_bytes = piece.to.size();
    }
  }
};

constexpr std::string_view kMaps =
    "00400000-00401000 r-xp 00000000 fe:00 11  /usr/bin/app\n"
    "00500000-00502000 rw-p 00001000 fe:00 11  /usr/bin/app\n"
    "00502000-00503000 rw-p 00000000 00:00 0 \n"
    "01000000-01100000 rw-p 00000000 00:00 0   [heap]\n"
    "7f0000000000-7f0000001000 ---p 00000000 00:00 0 \n"
    "7f0000001000-7f0000101000 rw-p 00000000 00:00 0 \n" // a thread's stack
    "7f0000200000-7f0000300000 rw-p 00000000 00:00 0 \n" // mapped by the program
    "7f0000300000-7f0000301000 r--p 00000000 00:00 0 \n"
    "7f0000400000-7f0000401000 rw-s 00000000 fe:00 12  /tmp/run/session\n"
    "7f0000500000-7f0000501000 rw-s 00000000 fe:00 13  /tmp/a file (deleted)\n"
    "7f0000600000-7f0000601000 rw-s 00000000 00:05 14  /dev/dri/card0\n"
    "7f0000700000-7f0000703000 rw-p 00000000 00:00 0 \n" // main's thread-local memory
    "7f0000800000-7f0000802000 rw-p 00000000 fe:00 15  /usr/lib/libheapledger.so\n"
    "7ffff0000000-7ffff0021000 rw-p 00000000 00:00 0   [stack]\n";

constexpr uint64_t kMainTls = 0x7f0000702000, kThreadTls = 0x7f0000100640;

RootSources sources() {
  RootSources from;
  from.pid = 10;
  from.maps = parse_maps(kMaps);
  from.modules = {{"/usr/bin/app", 0x400000, {{0x500000, 0x502800}}},
                  {"/usr/lib/libheapledger.so", 0x7f0000800000, {{0x7f0000800000, 0x7f0000802000}}}};
  ThreadContext main;
  main.tid = 10;
  main.stack_pointer = 0x7ffff0020000;
  main.thread_pointer = kMainTls;
  main.words = {1, 2, 3};
  ThreadContext other;
  other.tid = 11;
  other.stack_pointer = 0x7f00000ff000;
  other.thread_pointer = kThreadTls;
  from.threads = {main, other};
  from.mappings = {{0x7f0000200000, 0x7f0000301000, 0x400123, "/usr/bin/app"}};
  from.session_path = "/tmp/run/session";
  return from;
}

std::vector<std::pair<uint64_t, uint64_t>> ranges(const std::vector<RootRange>& roots, RootKind kind,
                                                  uint32_t tid = 0) {
  std::vector<std::pair<uint64_t, uint64_t>> found;
  for (const RootRange& root : roots)
    if (root.kind == kind && root.tid == tid)
      found.emplace_back(root.start, root.start + root.bytes);
  std::sort(found.begin(), found.end());
  return found;
}
using Ranges = std::vector<std::pair<uint64_t, uint64_t>>;

} // namespace

TEST_CASE("the lines of maps are parsed, and nonsense is left out") {
  const std::vector<MapsEntry> maps =
      parse_maps("00400000-00401000 r-xp 00002000 fe:00 11                 /a b (deleted)\n"
                 "nonsense\n"
                 "00300000-00301000 rw-p 00000000 00:00 0 \n" // not in order
                 "00500000-00500000 rw-p 00000000 00:00 0 \n" // empty
                 "00600000-00601000 rw-s 00000000 00:05 7");
  REQUIRE(maps.size() == 2);
  CHECK(maps[0].start == 0x400000);
  CHECK(maps[0].end == 0x401000);
  CHECK(maps[0].offset == 0x2000);
  CHECK(maps[0].inode == 11);
  CHECK(maps[0].path == "/a b (deleted)");
  CHECK(file_name_of(maps[0].path) == "a b");
  CHECK((maps[0].readable && !maps[0].writable && maps[0].executable && !maps[0].shared));
  CHECK((maps[1].readable && maps[1].writable && maps[1].shared && !maps[1].is_file()));
  CHECK(entry_at(maps, 0x400fff) == &maps[0]);
  CHECK(entry_at(maps, 0x401000) == nullptr);
  CHECK(entry_at(maps, 0x3fffff) == nullptr);
  CHECK(entries_in(maps, 0x400800, 0x600001).size() == 2);
  CHECK(entries_in(maps, 0x401000, 0x600000).empty());
}

TEST_CASE("globals are the writable data of modules, and not those of the recording") {
  SparseMemory memory;
  CHECK(ranges(find_roots(sources(), memory), RootKind::global) ==
        Ranges{{0x500000, 0x502000}, {0x502000, 0x502800}});
}

TEST_CASE("a stack counts from its red zone to the thread-local blocks on top of it") {
  SparseMemory memory;
  // The thread's vector of blocks: two modules, the second one's block lies elsewhere.
  memory.words[kThreadTls + 8] = 0x1000010;
  memory.words[0x1000000] = 2;
  memory.words[0x1000020] = kThreadTls - 0x40;
  memory.words[0x1000030] = 0x1000800;
  const std::vector<RootRange> roots = find_roots(sources(), memory);
  CHECK(ranges(roots, RootKind::stack, 10) == Ranges{{0x7ffff0020000 - 128, 0x7ffff0021000}});
  CHECK(ranges(roots, RootKind::stack, 11) == Ranges{{0x7f00000ff000 - 128, kThreadTls - 0x40}});
  CHECK(ranges(roots, RootKind::tls, 11) == Ranges{{kThreadTls - 0x40 - 1664, 0x7f0000101000}});
  CHECK(ranges(roots, RootKind::tls, 10) == Ranges{{kMainTls - 1664, 0x7f0000703000}});
  REQUIRE(ranges(roots, RootKind::reg, 10) == Ranges{{0, 24}});
}

TEST_CASE("a thread on a stack of the program's own keeps that and its own") {
  SparseMemory memory;
  RootSources from = sources();
  SUBCASE("in a live block: to the block's end") {
    const std::vector<ScanBlock> blocks = {{0x1000100, 0x100, 1, false}, {0x1001000, 0x8000, 1, false}};
    from.blocks = blocks;
    from.threads[1].stack_pointer = 0x1002000;
    const std::vector<RootRange> roots = find_roots(from, memory);
    CHECK(ranges(roots, RootKind::stack, 11) ==
          Ranges{{0x1002000 - 128, 0x1009000}, {0x7f0000001000, kThreadTls}});
  }
  SUBCASE("in a mapping, of the main thread") {
    from.threads[0].stack_pointer = 0x7f0000210000;
    const std::vector<RootRange> roots = find_roots(from, memory);
    CHECK(ranges(roots, RootKind::stack, 10) ==
          Ranges{{0x7f0000210000 - 128, 0x7f0000300000}, {0x7ffff0000000, 0x7ffff0021000}});
  }
}

TEST_CASE("mappings are the program's own and writable files, not devices, the session, or an allocator's") {
  SparseMemory memory;
  RootSources from = sources();
  // Its last page may not be written: nothing of the program's puts pointers there.
  CHECK(ranges(find_roots(from, memory), RootKind::mapping) ==
        Ranges{{0x7f0000200000, 0x7f0000300000}, {0x7f0000500000, 0x7f0000501000}});
  SUBCASE("memory that malloc gives out from is its own, and what the same call mapped besides") {
    const std::vector<ScanBlock> blocks = {{0x7f0000280000, 0x100, 1, false}};
    from.blocks = blocks;
    from.mappings = {{0x7f0000200000, 0x7f0000240000, 0x400123, "/usr/bin/app"},
                     {0x7f0000240000, 0x7f0000300000, 0x400123, "/usr/bin/app"}};
    CHECK(ranges(find_roots(from, memory), RootKind::mapping) == Ranges{{0x7f0000500000, 0x7f0000501000}});
  }
  SUBCASE("an allocator library's") {
    from.mappings[0].module = "/usr/lib/libjemalloc.so.2";
    CHECK(ranges(find_roots(from, memory), RootKind::mapping) == Ranges{{0x7f0000500000, 0x7f0000501000}});
  }
}

TEST_CASE("what is not wanted is not there") {
  SparseMemory memory;
  RootSources from = sources();
  from.options = 0;
  CHECK(find_roots(from, memory).empty());
  from.options = kScanStacks;
  for (const RootRange& root : find_roots(from, memory))
    CHECK(root.kind == RootKind::stack);
}

TEST_CASE("glibc's main arena is found by its empty lists") {
  constexpr uint64_t kAddress = 0x7f0000900000;
  constexpr size_t kArenaAt = 0xc60, kBinsAt = kArenaAt + 112, kNextAt = kArenaAt + 2160;
  std::vector<uint8_t> data(0x2000, 0);
  const auto put = [&](size_t at, uint64_t word) { std::memcpy(&data[at], &word, 8); };
  for (size_t bin = 0; bin < 127; ++bin)
    for (const size_t half : {0, 8})
      put(kBinsAt + bin * 16 + half, kAddress + kBinsAt + bin * 16 - 16);
  put(kArenaAt + 96, 0x1050000); // top
  put(kBinsAt, 0x1040000);       // a chunk in the unsorted list
  put(kBinsAt + 8, 0x1040000);
  put(kNextAt, kAddress + kArenaAt);
  const auto found = find_main_arena(data, kAddress);
  REQUIRE(found.has_value());
  CHECK(found->first == kAddress + kArenaAt);
  CHECK(found->second == kAddress + kArenaAt + 2200);
  std::fill(data.begin() + kBinsAt + 50 * 16, data.begin() + kBinsAt + 127 * 16, uint8_t{0});
  CHECK(!find_main_arena(data, kAddress).has_value());
}

TEST_CASE("calls that may be begun anew are those that return EINTR for no signal's sake") {
  for (const uint64_t call : {SYS_epoll_wait, SYS_epoll_pwait, SYS_semop, SYS_semtimedop, SYS_rt_sigtimedwait,
                              SYS_io_getevents, SYS_recvfrom, SYS_accept4})
    CHECK(may_be_begun_anew(call));
  // The kernel restarts these itself; close has happened whatever it returns.
  for (const uint64_t call : {SYS_poll, SYS_nanosleep, SYS_futex, SYS_close, SYS_wait4, SYS_pause})
    CHECK(!may_be_begun_anew(call));
}

TEST_CASE("the status of a task is read") {
  const uint32_t own = static_cast<uint32_t>(::getpid());
  const std::optional<TaskStatus> status = task_status(own, own);
  REQUIRE(status.has_value());
  CHECK(status->state == 'R');
  CHECK(status->tracer == 0);
  CHECK(std::ranges::count(tasks_of(own), own) == 1);
  CHECK(!task_status(own, 0x7ffffff0).has_value());
}
