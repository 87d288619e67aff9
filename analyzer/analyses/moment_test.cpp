// Moments: how they are written, and where they are in a trace.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <cstdlib>
#include <ctime>

#include "analyses/heap_replay.h"
#include "analyses/moment.h"
#include "testing/scratch_directory.h"
#include "testing/trace_builder.h"

using namespace hl;
using namespace hl::testing;

TEST_CASE("spans and moments are parsed, nonsense is refused") {
  CHECK(parse_span_ns("90") == 90'000'000'000);
  CHECK(parse_span_ns("90s") == 90'000'000'000);
  CHECK(parse_span_ns("1h30m") == 5'400'000'000'000);
  CHECK(parse_span_ns("0.5ms") == 500'000);
  CHECK(parse_span_ns("123ns") == 123);
  for (const char* bad : {"", "s", "5x", "-5", "5 s", "1h30", "nan", "inf", "1e300"})
    CHECK_FALSE(parse_span_ns(bad));
  CHECK(parse_moment("exit")->kind == Moment::Kind::exit);
  CHECK(parse_moment("peak")->kind == Moment::Kind::peak);
  CHECK(parse_moment("mark:after load")->mark == "after load");
  CHECK(parse_moment("+90s")->ns == 90'000'000'000);
  CHECK(parse_moment("14:03:07")->ns == (14 * 3600 + 3 * 60 + 7) * 1'000'000'000ull);
  CHECK(parse_moment("14:03")->kind == Moment::Kind::wall_clock);
  for (const char* bad : {"", "mark:", "+", "24:00:00", "14:60", "noon", "1:2:3:4", "12"})
    CHECK_FALSE(parse_moment(bad));
}

TEST_CASE("TRACE@MOMENT is split, but a file of that name wins") {
  ScratchDirectory scratch;
  std::string bad;
  const std::string path = scratch.file("a@peak");
  TraceBuilder().begin().close().write(path);
  CHECK(split_moment(path, bad).path == path);
  CHECK(split_moment(path + "@peak", bad).path == path);
  CHECK(split_moment("@peak", bad).path.empty());
  CHECK(bad.empty());
  CHECK(split_moment("host@home/file", bad).path == "host@home/file");
  CHECK(bad.empty());
  split_moment(path + "@nonsense", bad);
  CHECK(bad == "nonsense");
}

TEST_CASE("a moment stops the replay where it should") {
  ScratchDirectory scratch;
  const std::string path = scratch.file("t.hlt");
  TraceBuilder trace;
  trace.begin();
  const StackId stack = trace.node(0, 0, 0x1234);
  constexpr uint64_t kSecond = 1'000'000'000;
  trace.add(1, malloc_event(1 * kSecond, 0x1000, 100, stack))
      .add(1, malloc_event(2 * kSecond, 0x2000, 200, stack));
  trace.add(1, free_event(3 * kSecond, 0x1000));
  trace.add_extended(1, 4 * kSecond, ExtendedKind::mark, {}, "loaded", stack);
  trace.add(1, free_event(5 * kSecond, 0x2000)).flush(UINT64_MAX);
  trace.clock({{kStartTicks + 10 * kSecond, kStartTicks + 10 * kSecond, 0, kStartWallNs + 10 * kSecond}});
  trace.close().write(path);
  const auto opened = Trace::open(path);
  const auto live_at = [&](const std::string& text) {
    std::string why;
    const auto limits = resolve_moment(*opened, *parse_moment(text), why);
    REQUIRE(limits);
    return replay_heap(*opened, *limits, {}).result().live_bytes;
  };
  CHECK(live_at("exit") == 0);
  CHECK(live_at("peak") == 300);
  CHECK(live_at("mark:loaded") == 200);
  CHECK(live_at("+1s") == 100);
  CHECK(live_at("+999ms") == 0);
  CHECK(live_at("+2s") == 300);
  CHECK(live_at("+1h") == 0);

  ::setenv("TZ", "UTC", 1);
  ::tzset();
  const std::time_t at = static_cast<std::time_t>((kStartWallNs + 2 * kSecond) / kSecond);
  char clock[16];
  std::strftime(clock, sizeof clock, "%H:%M:%S", std::gmtime(&at));
  CHECK(live_at(clock) == 300);

  std::string why;
  CHECK_FALSE(resolve_moment(*opened, *parse_moment("mark:nowhere"), why));
  CHECK(why.find("loaded") != std::string::npos);
}
