// Whole traces: read back, damaged, repeated, recovered.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <sys/stat.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "reader/event_stream.h"
#include "reader/run_directory.h"
#include "reader/trace.h"
#include "testing/scratch_directory.h"
#include "testing/trace_builder.h"

using namespace hl;
using namespace hl::testing;

namespace {

std::vector<TraceEvent> all_events(const Trace& trace, EventStream::Counters* counters = nullptr) {
  EventStream stream(trace, {});
  EventBatch batch;
  std::vector<TraceEvent> all;
  while (stream.next(batch))
    all.insert(all.end(), batch.events.begin(), batch.events.end());
  if (counters != nullptr)
    *counters = stream.counters();
  return all;
}

// Two threads, three chunks, an extended event, a realloc.
TraceBuilder small_trace() {
  TraceBuilder trace;
  trace.begin().module(1, "/usr/bin/app", 0x400000, 0x500000, true);
  const StackId main = trace.node(0, 1, 0x400100);
  const StackId work = trace.node(main, 1, 0x400200);
  trace.add(1, malloc_event(100, 0x1000, 10, work)).add(1, malloc_event(200, 0x2000, 20, main)).flush(200);
  trace.add(2, malloc_event(250, 0x3000, 30, work)).add(1, free_event(260, 0x1000));
  trace.add_extended(1, 270, ExtendedKind::mark, {}, "half-way", work).flush(270);
  trace.add(2, realloc_event(300, 310, 0x2000, 0x4000, 40, work))
      .add(1, free_event(400, 0x3000))
      .flush(UINT64_MAX);
  trace.clock({{kStartTicks + 1'000'000'000, kStartTicks + 1'000'000'000, kStartTicks + 1'000'000'000,
                kStartWallNs + 1'000'000'000}});
  return trace;
}

void write_bytes(const std::string& path, const std::vector<uint8_t>& bytes, size_t count) {
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(count));
}

// Reads whatever can be read; what it throws can only be a TraceError.
uint64_t events_readable(const std::string& path) {
  try {
    const auto trace = Trace::open(path);
    return all_events(*trace).size();
  } catch (const TraceError& error) {
    CHECK(std::string(error.what()).find(path) != std::string::npos);
    return 0;
  }
}

struct RootAndChild {
  TraceBuilder::Identity root, child;
};

// Pids 1 and 2.
RootAndChild root_and_child() {
  TraceBuilder::Identity root, child;
  root.pid = 1;
  root.uuid_byte = 1;
  child.pid = 2;
  child.uuid_byte = 2;
  child.parent_uuid_byte = 1;
  child.is_root = false;
  return {root, child};
}

} // namespace

TEST_CASE("a closed trace is read back: identity, stacks, modules, events in order") {
  ScratchDirectory scratch;
  const std::string path = scratch.file("t.hlt");
  small_trace().close().write(path);
  const auto trace = Trace::open(path);
  CHECK(trace->complete());
  CHECK_FALSE(trace->recovered());
  CHECK_FALSE(trace->running());
  CHECK(trace->metadata().header.pid == 4711);
  CHECK(trace->metadata().arguments == std::vector<std::string>{"app", "--flag"});
  CHECK(trace->nodes().count() == 2);
  REQUIRE(trace->modules().find(1) != nullptr);
  CHECK(trace->modules().find(1)->path == "/usr/bin/app");
  const auto events = all_events(*trace);
  REQUIRE(events.size() == 8); // seven events, the realloc in two steps
  std::vector<uint64_t> times;
  for (const TraceEvent& event : events)
    times.push_back(event.ticks - kStartTicks);
  CHECK(times == std::vector<uint64_t>{100, 200, 250, 260, 270, 300, 310, 400});
  CHECK(events[5].is_release());
  CHECK(events[5].address == 0x2000);
  CHECK(events[6].address == 0x4000);
  CHECK(trace->clock().ns(kStartTicks + 310) == 310);
  CHECK(trace->problems().total() == 0);
}

TEST_CASE("a trace that is not closed is read to its end and says so") {
  ScratchDirectory scratch;
  const std::string path = scratch.file("t.hlt");
  small_trace().write(path);
  const auto trace = Trace::open(path);
  CHECK_FALSE(trace->complete());
  CHECK(trace->problems().has(ProblemKind::not_closed));
  CHECK(all_events(*trace).size() == 8);
}

TEST_CASE("truncated anywhere: whole chunks are read, never a crash") {
  ScratchDirectory scratch;
  const std::string path = scratch.file("t.hlt");
  const std::vector<uint8_t> bytes = small_trace().close().bytes();
  uint64_t most = 0;
  for (size_t length = 0; length <= bytes.size(); ++length) {
    write_bytes(path, bytes, length);
    const uint64_t readable = events_readable(path);
    CHECK(readable >= most); // a longer piece never yields less
    most = std::max(most, readable);
  }
  CHECK(most == 8);
}

TEST_CASE("one byte changed anywhere: nothing is made up, never a crash") {
  ScratchDirectory scratch;
  const std::string path = scratch.file("t.hlt");
  const std::vector<uint8_t> good = small_trace().close().bytes();
  for (size_t at = 0; at < good.size(); ++at) {
    for (const uint8_t change : {uint8_t{0xff}, static_cast<uint8_t>(1u << (at % 8))}) {
      std::vector<uint8_t> bytes = good;
      bytes[at] ^= change;
      write_bytes(path, bytes, bytes.size());
      CHECK(events_readable(path) <= 8);
    }
  }
}

TEST_CASE("a damaged chunk is left out, the rest is read, and the loss is counted") {
  ScratchDirectory scratch;
  const std::string path = scratch.file("t.hlt");
  std::vector<uint8_t> bytes = small_trace().close().bytes();
  write_bytes(path, bytes, bytes.size());
  const ChunkPlace second = Trace::open(path)->event_chunks().at(1);
  bytes[second.offset + sizeof(ChunkHeader) + 30] ^= 1;
  write_bytes(path, bytes, bytes.size());
  const auto trace = Trace::open(path);
  EventStream::Counters counters;
  CHECK(all_events(*trace, &counters).size() == 5);
  CHECK(counters.damaged_events == 3);
  CHECK_FALSE(trace->complete());
  CHECK(trace->problems().has(ProblemKind::damaged));
}

TEST_CASE("files that are no traces are told apart") {
  ScratchDirectory scratch;
  const auto kind_of = [](const std::string& path) -> std::optional<TraceErrorKind> {
    try {
      Trace::open(path);
    } catch (const TraceError& error) {
      return error.kind();
    }
    return {};
  };
  CHECK(kind_of(scratch.file("missing.hlt")) == TraceErrorKind::not_found);
  CHECK(kind_of(scratch.path()) == TraceErrorKind::unreadable);
  write_bytes(scratch.file("empty.hlt"), {}, 0);
  CHECK(kind_of(scratch.file("empty.hlt")) == TraceErrorKind::empty);
  const std::vector<uint8_t> text(5000, 'x');
  write_bytes(scratch.file("text.hlt"), text, text.size());
  CHECK(kind_of(scratch.file("text.hlt")) == TraceErrorKind::not_a_trace);
  write_bytes(scratch.file("short.hlt"), text, 3);
  CHECK(kind_of(scratch.file("short.hlt")) == TraceErrorKind::not_a_trace);

  std::vector<uint8_t> newer = small_trace().close().bytes();
  auto* preamble = reinterpret_cast<TracePreamble*>(newer.data());
  preamble->version = kTraceVersion + 1;
  preamble->hash = XXH3_64bits(preamble, offsetof(TracePreamble, hash));
  write_bytes(scratch.file("newer.hlt"), newer, newer.size());
  CHECK(kind_of(scratch.file("newer.hlt")) == TraceErrorKind::newer_version);
  std::vector<uint8_t> patched = small_trace().close().bytes();
  patched[8] = 77; // by hand, without a new hash
  write_bytes(scratch.file("newer.hlt"), patched, patched.size());
  CHECK(kind_of(scratch.file("newer.hlt")) == TraceErrorKind::newer_version);
}

TEST_CASE("unknown chunks are skipped unless they are essential") {
  ScratchDirectory scratch;
  const std::string path = scratch.file("t.hlt");
  small_trace().chunk(static_cast<ChunkKind>(500), {1, 2, 3}).close().write(path);
  CHECK(all_events(*Trace::open(path)).size() == 8);
  small_trace().chunk(static_cast<ChunkKind>(500), {1, 2, 3}, 0, 0, 0, kChunkEssential).close().write(path);
  CHECK_THROWS_AS(Trace::open(path), TraceError);
}

TEST_CASE("a chunk that was written twice counts once") {
  ScratchDirectory scratch;
  const std::string path = scratch.file("t.hlt");
  TraceBuilder trace;
  trace.begin();
  const StackId stack = trace.node(0, 0, 0x1234);
  trace.add(1, malloc_event(1, 0x1000, 1, stack)).add(1, malloc_event(2, 0x2000, 2, stack)).flush(2);
  trace.repeat_last_events_chunk();
  trace.add(1, free_event(3, 0x1000)).flush(UINT64_MAX).close().write(path);
  const auto opened = Trace::open(path);
  EventStream::Counters counters;
  CHECK(all_events(*opened, &counters).size() == 3);
  CHECK(counters.duplicate_segments == 1);
  CHECK(opened->complete());
}

TEST_CASE("the session file adds what no chunk carries, each event once") {
  ScratchDirectory scratch;
  TraceBuilder::Identity identity;
  identity.session_byte = 0x5e;
  identity.session_path = "/nowhere/any-more/s.hls";
  TraceBuilder trace;
  trace.begin(identity);
  const StackId stack = trace.node(0, 0, 0x1234);
  const std::vector<Event> events = {malloc_event(10, 0x1000, 100, stack),
                                     malloc_event(20, 0x2000, 200, stack), free_event(30, 0x1000),
                                     malloc_event(40, 0x3000, 300, stack)};
  trace.add(1, events[0]).add(1, events[1]).flush(20); // block 0 of thread 1 up to its second event
  trace.write(scratch.file("t.hlt"));

  SUBCASE("present") {
    SessionBuilder session(0x5e, 0xab);
    session.node(0, 0, 0x1234);
    session.node(1, 0, 0x5678); // seen by nobody but the session file
    session.block(1, 0, events);
    Event late = malloc_event(35, 0x4000, 400, 2);
    session.block(2, 7, {late});
    session.write(scratch.file("s.hls"));
    const auto opened = Trace::open(scratch.file("t.hlt"));
    CHECK(opened->recovered());
    CHECK_FALSE(opened->running());
    EventStream::Counters counters;
    const auto all = all_events(*opened, &counters);
    REQUIRE(all.size() == 5);
    std::vector<uint64_t> times;
    for (const TraceEvent& event : all)
      times.push_back(event.ticks - kStartTicks);
    CHECK(times == std::vector<uint64_t>{10, 20, 30, 35, 40});
    CHECK(all[3].stack == 2);
    CHECK(counters.recovered_events == 3);
  }
  SUBCASE("missing") {
    const auto opened = Trace::open(scratch.file("t.hlt"));
    CHECK_FALSE(opened->recovered());
    CHECK(opened->problems().has(ProblemKind::missing_session));
    CHECK(all_events(*opened).size() == 2);
  }
  SUBCASE("of another session") {
    SessionBuilder(0x77, 0xab).write(scratch.file("s.hls"));
    CHECK(Trace::open(scratch.file("t.hlt"))->problems().has(ProblemKind::missing_session));
  }
  SUBCASE("damaged anywhere in what is used of it") {
    SessionBuilder session(0x5e, 0xab);
    session.node(0, 0, 0x1234);
    session.block(1, 0, events);
    const std::vector<uint8_t> good = session.bytes();
    const std::string path = scratch.file("s.hls");
    std::vector<size_t> places;
    for (size_t at = 0; at < 4096; at += 3)
      places.push_back(at);
    for (size_t block = 0; block < 3; ++block)
      for (size_t at = 0; at < 400; ++at)
        places.push_back(kBlocksOffset + block * kBlockBytes + at);
    for (const size_t at : places) {
      std::vector<uint8_t> bytes = good;
      bytes[at] ^= 0xff;
      write_bytes(path, bytes, bytes.size());
      CHECK(events_readable(scratch.file("t.hlt")) >= 2);
    }
  }
}

TEST_CASE("a session file alone is a trace") {
  ScratchDirectory scratch;
  SessionBuilder session(0x5e, 0xab, 99);
  session.node(0, 0, 0x1234);
  session.block(1, 0, {malloc_event(10, 0x1000, 100, 1), free_event(30, 0x1000)});
  session.write(scratch.file("s.hls"));
  const auto trace = Trace::open(scratch.file("s.hls"));
  CHECK(trace->metadata().header.pid == 99);
  CHECK(trace->recovered());
  CHECK(all_events(*trace).size() == 2);
  const TraceChoice choice = choose_trace(scratch.path(), 99);
  CHECK(choice.path == scratch.file("s.hls"));
}

TEST_CASE("a trace that was never begun is looked for in the session file beside it") {
  ScratchDirectory scratch;
  SessionBuilder session(0x5e, 0xab, 99);
  session.node(0, 0, 0x1234);
  session.block(1, 0, {malloc_event(10, 0x1000, 100, 1)});
  CHECK(choose_trace(scratch.file("t.hlt"), {}).path ==
        scratch.file("t.hlt")); // opening it says what is wrong
  session.write(scratch.file("t.hlt.session"));
  for (const bool begun : {false, true}) {
    if (begun) // killed before its first 64 bytes were written
      write_bytes(scratch.file("t.hlt"), {}, 0);
    const TraceChoice choice = choose_trace(scratch.file("t.hlt"), {});
    CHECK(choice.path == scratch.file("t.hlt.session"));
    CHECK(all_events(*Trace::open(choice.path, choice.session_image)).size() == 1);
  }
}

TEST_CASE("a realloc that another thread's events interrupt leaves in two steps") {
  ScratchDirectory scratch;
  const std::string path = scratch.file("t.hlt");
  TraceBuilder trace;
  trace.begin();
  const StackId stack = trace.node(0, 0, 0x1234);
  trace.add(1, malloc_event(10, 0x1000, 8, stack)).add(1, realloc_event(20, 50, 0x1000, 0x2000, 16, stack));
  trace.add(2, malloc_event(30, 0x1000, 8, stack)).flush(UINT64_MAX).close().write(path);
  const auto events = all_events(*Trace::open(path));
  REQUIRE(events.size() == 4);
  CHECK(events[1].is_release());
  CHECK(events[2].thread_index == 2);
  CHECK(events[3].address == 0x2000);
}

TEST_CASE("equal stacks inserted twice by racing threads become one") {
  NodeTable nodes;
  REQUIRE(nodes.set(1, {0, 1, 0x100}));
  REQUIRE(nodes.set(2, {0, 1, 0x100})); // the same frame, lost race
  REQUIRE(nodes.set(3, {1, 1, 0x200}));
  REQUIRE(nodes.set(4, {2, 1, 0x200}));
  REQUIRE(nodes.set(5, {2, 1, 0x300}));
  nodes.finish();
  CHECK(nodes.canonical(2) == 1);
  CHECK(nodes.canonical(4) == 3);
  CHECK(nodes.canonical(5) == 5);
  CHECK(nodes[5].parent == 1);
  CHECK(nodes.count() == 3);
  CHECK(nodes.canonical(99) == 0);
}

TEST_CASE("a node whose parent is not below it is where its stacks are cut") {
  NodeTable nodes;
  REQUIRE(nodes.set(1, {0, 1, 0x100}));
  REQUIRE(nodes.set(2, {2, 1, 0x200})); // its own parent
  REQUIRE(nodes.set(3, {4, 1, 0x300})); // two that lead to each other
  REQUIRE(nodes.set(4, {3, 1, 0x400}));
  REQUIRE(nodes.set(5, {0xffffffff, 1, 0x500}));
  nodes.finish();
  CHECK(nodes.cut() == 3);
  CHECK(nodes.count() == 5);
  const std::vector<uint32_t> parents = {nodes[2].parent, nodes[3].parent, nodes[4].parent, nodes[5].parent};
  CHECK(parents == std::vector<uint32_t>{0, 0, 3, 0});

  // In a file: the other stacks of its chunk are whole, and the trace says what is missing.
  ScratchDirectory scratch;
  const std::string path = scratch.file("t.hlt");
  TraceBuilder trace;
  trace.begin();
  const StackId outer = trace.node(0, 0, 0x1000);
  const StackId astray = trace.node(outer + 7, 0, 0x2000);
  const StackId inner = trace.node(astray, 0, 0x3000);
  const StackId whole = trace.node(outer, 0, 0x4000);
  trace.add(1, malloc_event(10, 0x1000, 8, inner)).add(1, malloc_event(20, 0x2000, 8, whole));
  trace.flush(UINT64_MAX).close().write(path);
  const auto read = Trace::open(path);
  CHECK(all_events(*read).size() == 2);
  CHECK(read->nodes()[inner].parent == astray);
  CHECK(read->nodes()[astray].parent == 0);
  CHECK(read->nodes()[whole].parent == outer);
  CHECK(read->problems().has(ProblemKind::unknown_stack));
}

TEST_CASE("ticks become times along the clock pairs, and back") {
  const ClockPair start{1000, 5'000'000'000, 0, 7'000'000'000};
  TraceClock clock(
      start, {{2'001'000, 5'001'000'000, 0, 7'001'000'000}, {6'001'000, 5'002'000'000, 0, 7'002'000'000}});
  CHECK(clock.calibrated());
  CHECK(clock.ns(1000) == 0);
  CHECK(clock.ns(500) == 0);
  CHECK(clock.ns(1'001'000) == 500'000);    // half a nanosecond a tick
  CHECK(clock.ns(4'001'000) == 1'500'000);  // a quarter
  CHECK(clock.ns(10'001'000) == 3'000'000); // on with the last rate
  CHECK(clock.wall_ns(4'001'000) == 7'001'500'000);
  for (const uint64_t ns : {0ull, 1ull, 499'999ull, 1'000'001ull, 2'500'000ull}) {
    const uint64_t ticks = clock.ticks_at_ns(ns);
    CHECK(clock.ns(ticks) >= ns);
    if (ticks > 1000)
      CHECK(clock.ns(ticks - 1) < ns);
  }
  CHECK_FALSE(TraceClock(start, {}).calibrated());
}

TEST_CASE("a run directory: the root by default, any process by pid, the newest run") {
  ScratchDirectory scratch;
  const std::string run = scratch.file("heapledger-app-20260101-000000-1");
  std::filesystem::create_directory(run);
  auto [root, child] = root_and_child();
  TraceBuilder().begin(child).close().write(run + "/a.hlt");
  TraceBuilder().begin(root).close().write(run + "/b.hlt");
  const auto images = list_run(run);
  REQUIRE(images.size() == 2);
  CHECK(images[0].pid == 1);
  CHECK(images[1].pid == 2);
  CHECK(choose_trace(run, {}).path == run + "/b.hlt");
  CHECK(choose_trace(run, 2).path == run + "/a.hlt");
  CHECK_THROWS_AS(choose_trace(run, 3), TraceError);
  child.pid = 1; // what the root became by exec
  child.image_number = 1;
  child.uuid_byte = 3;
  TraceBuilder().begin(child).close().write(run + "/c.hlt");
  CHECK(choose_trace(run, {}).path == run + "/c.hlt");
  CHECK(newest_run(scratch.path()) == run);
  child.pid = 2;
  TraceBuilder().begin(root).close().write(scratch.file("f.hlt"));
  TraceBuilder().begin(child).close().write(scratch.file("f.2.0.hlt"));
  CHECK(choose_trace(scratch.file("f.hlt"), 2).path == scratch.file("f.2.0.hlt"));
}

TEST_CASE("a trace is found by what it holds, whatever its name") {
  ScratchDirectory scratch;
  const auto [root, child] = root_and_child();
  TraceBuilder().begin(root).close().write(scratch.file("run.1"));
  TraceBuilder().begin(child).close().write(scratch.file("run.1.2.0.hlt"));
  const std::vector<uint8_t> text = {'n', 'o', 't', 'e', 's'};
  write_bytes(scratch.file("notes.hlt"), text, text.size());
  REQUIRE(::mkfifo(scratch.file("pipe.hlt").c_str(), 0600) == 0);
  const auto images = list_run(scratch.path());
  REQUIRE(images.size() == 2);
  CHECK(images[0].path == scratch.file("run.1"));
  CHECK(choose_trace(scratch.path(), {}).path == scratch.file("run.1"));
  CHECK(choose_trace(scratch.file("run.1"), 2).path == scratch.file("run.1.2.0.hlt"));
  CHECK_THROWS_AS(choose_trace(scratch.file("run.1"), 3), TraceError);
  CHECK(newest_run(scratch.path()) == scratch.file("run.1"));
}
