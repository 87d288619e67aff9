// What people and programs read: numbers, names, lines, JSON, dump.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "analyses/heap_replay.h"
#include "analyses/metrics.h"
#include "renderers/dump_output.h"
#include "renderers/heap_output.h"
#include "renderers/info_output.h"
#include "testing/scratch_directory.h"
#include "testing/trace_builder.h"

using namespace hl;
using namespace hl::testing;

namespace {

TextStyle plain() {
  TextStyle style;
  style.unicode = false;
  return style;
}

template <typename Write> std::string written(Write write) {
  std::FILE* file = std::tmpfile();
  REQUIRE(file != nullptr);
  write(file);
  std::fflush(file);
  std::string text(static_cast<size_t>(std::ftell(file)), '\0');
  std::rewind(file);
  REQUIRE(std::fread(text.data(), 1, text.size(), file) == text.size());
  std::fclose(file);
  return text;
}

// Two threads; thread 2 allocates at the address that thread 1's realloc just left.
void write_sample(const std::string& path) {
  TraceBuilder trace;
  TraceBuilder::Identity identity;
  identity.arguments = {"app", "with \x1b[31m \xff bytes"};
  trace.begin(identity).module(1, "/nowhere/app", 0x400000, 0x500000, true);
  const StackId main = trace.node(0, 1, 0x400100);
  const StackId work = trace.node(main, 1, 0x400200);
  trace.add(1, malloc_event(100, 0x1000, 100, work))
      .add(1, realloc_event(200, 400, 0x1000, 0x2000, 200, work));
  trace.add(2, malloc_event(300, 0x1000, 50, main)).add(2, free_event(500, 0x2000));
  trace.add(1, realloc_event(600, 610, 0x1000, 0x1000, 60, main));
  trace.add_extended(1, 700, ExtendedKind::vma_name, {0x100000, 4096, 0}, "a \"heap\"", main);
  trace.flush(UINT64_MAX);
  trace.clock({{kStartTicks + 1'000'000'000, kStartTicks + 1'000'000'000, kStartTicks + 1'000'000'000,
                kStartWallNs + 1'000'000'000}});
  trace.losses(LossCause::pool_exhausted, 3).close().write(path);
}

} // namespace

TEST_CASE("numbers read well") {
  CHECK(with_thousands(0) == "0");
  CHECK(with_thousands(1234567) == "1,234,567");
  CHECK(human_bytes(1023, plain()) == "1,023 B");
  CHECK(human_bytes(1536, plain()) == "1.50 KiB");
  CHECK(human_bytes(1024 * 1024 - 1, plain()) == "1.00 MiB");
  CHECK(human_bytes(UINT64_MAX, plain()) == "16.0 EiB");
  TextStyle exact = plain();
  exact.exact = true;
  CHECK(human_bytes(1536, exact) == "1,536 B");
  CHECK(human_ns(999) == "999 ns");
  CHECK(human_ns(1'500'000) == "1.50 ms");
  CHECK(human_ns(61'000'000'000) == "61.0 s");
  CHECK(human_ns(7'500'000'000'000) == "2 h 05 min");
  CHECK(human_percent(1, 3) == "33.3 %");
  CHECK(human_percent(1, 100000) == "<0.1 %");
  CHECK(human_percent(0, 0) == "-");
  CHECK(plural(1, "block") == "1 block");
  CHECK(plural(2000, "block") == "2,000 blocks");
}

TEST_CASE("C++ names are shortened to what one says aloud") {
  CHECK(short_function("main") == "main");
  CHECK(short_function("Session::open(std::string const&, int)") == "Session::open");
  CHECK(short_function("std::vector<int, std::allocator<int> >::push_back(int const&)") ==
        "std::vector<...>::push_back");
  CHECK(short_function("void frob<int>(int)") == "frob<int>");
  CHECK(short_function("(anonymous namespace)::Pool::grow(unsigned long)") == "(anon)::Pool::grow");
  CHECK(short_function("operator new(unsigned long)") == "operator new");
  CHECK(short_function("Grid::operator()(int, int) const") == "Grid::operator()");
  CHECK(short_function("Ptr::operator->() const") == "Ptr::operator->");
  CHECK(short_function("bool operator< <int>(A const&, A const&)") == "operator< <int>");
  CHECK(short_function("Server::run()::{lambda()#1}::operator()() const") ==
        "Server::run::{lambda()#1}::operator()");
  CHECK(short_function("") == "");
}

TEST_CASE("text from a trace cannot drive the terminal, and fits") {
  CHECK(printable("a\x1b[31mb\n\xff") == "a?[31mb??");
  CHECK(printable("gr\xc3\xbc\xc3\x9f") == "gr\xc3\xbc\xc3\x9f");
  CHECK(fit("abcdefghij", 20, plain()) == "abcdefghij");
  CHECK(display_width(fit("abcdefghijklmnop", 10, plain())) == 10);
  TextStyle narrow = plain();
  narrow.width = 20;
  const std::string text = wrapped("one two three four five six seven", "- ", "  ", narrow);
  CHECK(text == "- one two three four\n  five six seven\n");
}

TEST_CASE("JSON stays JSON whatever the texts hold") {
  const std::string text = written([](std::FILE* file) {
    JsonWriter json(file);
    json.begin_object().member("a\"b", "x\\\n\x01").member("bad", std::string_view("\xff\xc3"));
    json.key("list")
        .begin_array()
        .value(uint64_t{UINT64_MAX})
        .value(int64_t{-5})
        .value(true)
        .null()
        .value(0.5)
        .end_array();
    json.key("empty").begin_object().end_object().end_object();
  });
  const auto parsed = nlohmann::json::parse(text);
  CHECK(parsed["a\"b"] == "x\\\n\x01");
  CHECK(parsed["bad"] == "\xef\xbf\xbd\xef\xbf\xbd");
  CHECK(parsed["list"][0] == UINT64_MAX);
  CHECK(parsed["list"][1] == -5);
  CHECK(parsed["empty"].empty());
}

TEST_CASE("dump: one event a line; an interrupted realloc is two") {
  ScratchDirectory scratch;
  write_sample(scratch.file("t.hlt"));
  const auto trace = Trace::open(scratch.file("t.hlt"));
  const auto dumped = [&](DumpOptions options) {
    return written([&](std::FILE* file) {
      EventStream stream(*trace, {});
      DumpOutput output(*trace, options, file);
      EventBatch batch;
      while (stream.next(batch) && output.consume(batch)) {
      }
      output.finish();
    });
  };
  CHECK(dumped({}) ==
        "time=100 thread=1 kind=malloc address=0x1000 size=100 usable=104 stack=2\n"
        "time=200 thread=1 kind=realloc_begin old=0x1000 stack=2\n"
        "time=300 thread=2 kind=malloc address=0x1000 size=50 usable=56 stack=1\n"
        "time=400 thread=1 kind=realloc address=0x2000 size=200 usable=200 before=200 stack=2\n"
        "time=500 thread=2 kind=free address=0x2000\n"
        "time=610 thread=1 kind=realloc address=0x1000 size=60 usable=72 old=0x1000 before=600 stack=1\n"
        "time=700 thread=1 kind=vma_name address=0x100000 length=4096 result=0 name=\"a \\\"heap\\\"\" "
        "stack=1\n");
  DumpOptions few;
  few.kinds = {"free"};
  CHECK(dumped(few) == "time=500 thread=2 kind=free address=0x2000\n");
  DumpOptions middle;
  middle.from_ticks = kStartTicks + 300;
  middle.to_ticks = kStartTicks + 400;
  CHECK(dumped(middle).substr(0, 9) == "time=300 ");
  DumpOptions as_json;
  as_json.json = true;
  const auto parsed = nlohmann::json::parse(dumped(as_json));
  CHECK(parsed["events"].size() == 7);
  CHECK(parsed["events"][6]["name"] == "a \"heap\"");
}

TEST_CASE("report: contract keys, sums that add up, text within its width") {
  ScratchDirectory scratch;
  write_sample(scratch.file("t.hlt"));
  const auto trace = Trace::open(scratch.file("t.hlt"));
  const HeapReplay heap = replay_heap(*trace, {}, {});
  SymbolizerOptions symbols;
  symbols.use_cache = false;
  StackResolver resolver(*trace, symbols);
  resolver.resolve(allocating_stacks(heap.result()));
  const Moment moment;
  const HeapAnswer answer{*trace, heap, resolver, moment, GroupBy::line, 0};
  const auto parsed = nlohmann::json::parse(written([&](std::FILE* file) {
    JsonWriter json(file);
    report_json(answer, json);
  }));
  CHECK(parsed["totals"]["allocation_calls"] == 4);
  CHECK(parsed["totals"]["free_calls"] == 3);
  CHECK(parsed["totals"]["bytes_requested"] == 410);
  CHECK(parsed["peak"]["bytes"] == 250);
  CHECK(parsed["peak"]["time_ns"] == 400);
  CHECK(parsed["at_exit"]["bytes"] == 60);
  CHECK(parsed["lost"]["events"] == 3);
  CHECK(parsed["lost"]["by_cause"]["pool_exhausted"] == 3);
  uint64_t peak = 0, exit = 0;
  for (const auto& site : parsed["sites"]) {
    peak += site["peak_bytes"].get<uint64_t>();
    exit += site["exit_bytes"].get<uint64_t>();
    for (const auto& frame : site["frames"])
      CHECK(frame["function"].get<std::string>().substr(0, 4) == "app+");
  }
  CHECK(peak == 250);
  CHECK(exit == 60);
  for (const bool unicode : {false, true}) {
    for (const size_t width : {size_t{60}, size_t{100}}) {
      TextStyle style;
      style.unicode = unicode;
      style.width = width;
      for (const std::string& text : {report_text(answer, style), live_text(answer, style),
                                      info_text(*trace, summarize(*trace, {}), {}, style)}) {
        CHECK(text.find('\x1b') == std::string::npos);
        for (size_t at = 0; at < text.size();) {
          const size_t end = text.find('\n', at);
          if (width == 100)
            CHECK(display_width(std::string_view(text).substr(at, end - at)) <= width);
          at = end + 1;
        }
      }
    }
  }
}

TEST_CASE("limits are exact, units are understood") {
  CHECK(parse_limit("peak_bytes=1152921504606846977")->value == 1152921504606846977u);
  CHECK(parse_limit("peak_bytes=1.5k")->value == 1536);
  CHECK(parse_limit("peak_bytes=2MiB")->value == 2u << 20);
  CHECK(parse_limit("duration=1.5s")->value == 1'500'000'000);
  for (const char* bad : {"", "x", "x=", "=5", "x=-1", "x=5 apples", "x=5q"})
    CHECK_FALSE(parse_limit(bad));
  std::vector<std::string> unusable;
  const std::vector<Metric> metrics = {{"a", 10, MetricUnit::count, ""}, {"b", {}, MetricUnit::count, ""}};
  CHECK(check_limits({{"a", 10}}, metrics, unusable).front().exceeded == false);
  CHECK(check_limits({{"a", 9}}, metrics, unusable).front().exceeded == true);
  CHECK(unusable.empty());
  check_limits({{"b", 1}, {"c", 1}}, metrics, unusable);
  CHECK(unusable.size() == 2);
}
