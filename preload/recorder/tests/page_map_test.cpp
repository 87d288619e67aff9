// Page runs of this very process, by both ways the kernel offers: for each mapping they sum to its Rss in
// smaps, zero pages and pages shared with a fork's other side included.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <cstring>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "heapledger/block_events.h"
#include "page_map.h"
#include "process_watch.h"

namespace {

constexpr uint64_t kPage = 4096;
constexpr size_t kPages = 256;

struct Run {
  uint64_t start, end;
  hl::PageState state;
};

std::vector<Run> decoded(const std::vector<uint8_t>& bytes, uint64_t count) {
  std::vector<Run> runs;
  const uint8_t* p = bytes.data();
  const uint8_t* const end = p + bytes.size();
  uint64_t at = 0;
  for (uint64_t i = 0; i < count; i++) {
    uint64_t gap = 0, packed = 0;
    p = hl::block_codec::get_leb(p, end, &gap);
    REQUIRE(p != nullptr);
    p = hl::block_codec::get_leb(p, end, &packed);
    REQUIRE(p != nullptr);
    at += gap;
    runs.push_back({at * kPage, (at + packed / 4) * kPage, static_cast<hl::PageState>(packed % 4)});
    at += packed / 4;
  }
  CHECK(p == end);
  return runs;
}

// Mapped apart from its neighbours.
char* map(int flags) {
  char* const room =
      static_cast<char*>(mmap(nullptr, (kPages + 2) * kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  void* const p =
      mmap(room + kPage, kPages * kPage, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  REQUIRE(p != MAP_FAILED);
  madvise(p, kPages * kPage, MADV_NOHUGEPAGE);
  return static_cast<char*>(p);
}

struct Counted {
  hl::PageMapAnswer answer;
  std::vector<Run> runs;
  uint64_t rss = 0;
  uint64_t pages(hl::PageState state) const {
    uint64_t bytes = 0;
    for (const Run& run : runs)
      if (run.state == state)
        bytes += run.end - run.start;
    return bytes / kPage;
  }
};

Counted count(const char* at, bool may_scan) {
  std::vector<hl::MappedRange> ranges, one;
  hl::UsageFields fields;
  REQUIRE(hl::parse_smaps(hl::read_small_file("/proc/self/smaps"), ranges, fields));
  for (const hl::MappedRange& range : ranges)
    if (range.start == reinterpret_cast<uint64_t>(at))
      one.push_back(range);
  REQUIRE(one.size() == 1);
  const int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
  hl::PageRuns runs;
  Counted result;
  result.answer = hl::read_page_runs(fd, one, kPage, runs, may_scan);
  close(fd);
  const std::vector<uint8_t>& bytes = runs.finish();
  result.runs = decoded(bytes, runs.count());
  result.rss = one[0].rss / kPage;
  for (const Run& run : result.runs) {
    CHECK(run.start >= one[0].start);
    CHECK(run.end <= one[0].end);
  }
  return result;
}

} // namespace

TEST_CASE("runs that touch are one, and states keep them apart") {
  hl::PageRuns runs;
  runs.add(10, 2, hl::PageState::anonymous);
  runs.add(12, 1, hl::PageState::anonymous);
  runs.add(13, 1, hl::PageState::file);
  runs.add(20, 5, hl::PageState::file);
  runs.add(30, 0, hl::PageState::swapped);
  const std::vector<uint8_t>& bytes = runs.finish();
  const auto found = decoded(bytes, runs.count());
  REQUIRE(found.size() == 3);
  CHECK(found[0].start == 10 * kPage);
  CHECK(found[0].end == 13 * kPage);
  CHECK(found[1].end == 14 * kPage);
  CHECK(found[2].start == 20 * kPage);
  CHECK(found[2].end == 25 * kPage);
  CHECK(found[2].state == hl::PageState::file);
}

TEST_CASE("zero pages are not resident, whichever way is taken") {
  char* const p = map(MAP_PRIVATE);
  volatile int sum = 0;
  for (size_t i = 0; i < kPages; i++)
    sum = sum + p[i * kPage];
  for (size_t i = 0; i < kPages; i += 4)
    p[i * kPage] = 1;
  for (const bool may_scan : {true, false}) {
    const Counted c = count(p, may_scan);
    CHECK(c.answer.readable);
    CHECK(c.answer.zero_pages_known);
    CHECK(c.rss == kPages / 4);
    CHECK(c.pages(hl::PageState::anonymous) == kPages / 4);
    CHECK(c.pages(hl::PageState::shared_anonymous) == 0);
    CHECK(c.runs.size() == kPages / 4);
  }
}

TEST_CASE("after a fork pages are shared until one side writes") {
  char* const p = map(MAP_PRIVATE);
  std::memset(p, 1, kPages * kPage);
  int pipes[2];
  REQUIRE(pipe(pipes) == 0);
  const pid_t child = fork();
  if (child == 0) {
    char byte;
    close(pipes[1]);
    _exit(read(pipes[0], &byte, 1) == 0 ? 0 : 1);
  }
  close(pipes[0]);
  std::memset(p, 2, kPages / 2 * kPage);
  for (const bool may_scan : {true, false}) {
    const Counted c = count(p, may_scan);
    CHECK(c.answer.zero_pages_known);
    CHECK(c.rss == kPages);
    CHECK(c.pages(hl::PageState::anonymous) == kPages / 2);
    CHECK(c.pages(hl::PageState::shared_anonymous) == kPages / 2);
  }
  close(pipes[1]);
  waitpid(child, nullptr, 0);
}

TEST_CASE("shared memory counts as a file's, and what is left untouched not at all") {
  char* const p = map(MAP_SHARED);
  std::memset(p, 1, kPages / 2 * kPage);
  char* const untouched = map(MAP_PRIVATE);
  for (const bool may_scan : {true, false}) {
    CHECK(count(p, may_scan).pages(hl::PageState::file) == kPages / 2);
    CHECK(count(untouched, may_scan).runs.empty());
  }
}

TEST_CASE("a descriptor that gives nothing is told from a process that has nothing") {
  hl::PageRuns runs;
  const hl::MappedRange range{0x1000, 0x5000, 0x2000, 0, 0};
  CHECK_FALSE(hl::read_page_runs(-1, {&range, 1}, kPage, runs).readable);
  const int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
  CHECK_FALSE(hl::read_page_runs(null, {&range, 1}, kPage, runs, false).readable);
  close(null);
  CHECK(runs.count() == 0);
}
