// Both ends of the session file in one process: FakeShim writes, Recorder drains. Under the tsan preset this
// also checks the hand-over of blocks; the numbered events say whether anything was lost, doubled or out of
// order.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "fake_shim.h"
#include "recorder.h"
#include "running_recorder.h"
#include "trace_check.h"

using hl::make_session;
using hl::Place;
using hl::run_until;
using hl::Victim;

namespace {

TEST_CASE("several threads through a small pool arrive exactly once and in order") {
  const Place place;
  const auto session = make_session(place);
  Victim victim;
  hl::FakeShim shim(place.settings().path);
  shim.claim_process(0, victim.pid());
  std::thread drain([&] { hl::Recorder(*session, {.pool_bytes = 1u << 20}).run(); });
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; t++)
    threads.emplace_back([&] {
      hl::FakeShim::Writer writer(shim);
      writer.write(300'000);
      writer.seal();
    });
  for (auto& t : threads)
    t.join();
  shim.end();
  victim.end();
  drain.join();
  REQUIRE(place.traces().size() == 1);
  const hl::TraceFacts f = hl::check_trace(place.traces()[0]);
  CHECK_MESSAGE(f.readable, f.why);
  CHECK(f.closed);
  CHECK(f.all_events == 900'000);
  CHECK(f.out_of_order == 0);
  CHECK(f.below_low_water == 0);
  CHECK(f.unknown_stacks == 0);
  CHECK(f.events.size() == 3);
  CHECK(f.header.is_root == 1);
  CHECK_MESSAGE(!std::filesystem::exists(place.settings().path),
                "a cleanly closed session leaves no session file");
}

TEST_CASE("who waits for room that is there is left the processor") {
  const Place place;
  const auto session = make_session(place);
  Victim victim;
  hl::FakeShim shim(place.settings().path);
  shim.claim_process(0, victim.pid());
  hl::SessionHeader& h = session->header();
  h.space_waiters.store(1); // and does not get to run
  std::thread drain([&] { hl::Recorder(*session, {}).run(); });
  const auto beats_of = [&h](auto duration) {
    const uint64_t before = h.recorder_heartbeat.load();
    std::this_thread::sleep_for(duration);
    return h.recorder_heartbeat.load() - before;
  };
  // Not once in a burst: where it goes round and round it makes a hundred times as many.
  uint64_t fewest = ~uint64_t{0};
  for (int i = 0; i < 5; i++)
    fewest = std::min(fewest, beats_of(std::chrono::milliseconds(100)));
  CHECK(fewest <= 5000);
  h.space_waiters.store(0);
  victim.end();
  drain.join();
}

TEST_CASE("a recorder that takes over continues the trace where its predecessor stopped, even in a "
          "half-filled block") {
  const Place place;
  Victim victim;
  {
    const auto session = make_session(place);
    hl::FakeShim shim(place.settings().path);
    shim.claim_process(0, victim.pid());
    hl::FakeShim::Writer writer(shim);
    writer.write(10'000);
    {
      hl::Recorder first(*session, {});
      first.pass(); // the first drains whatever there is
    }
    writer.write(5'000);
    shim.add_nodes(50);
    hl::Recorder second(*session, {.restarts = 1});
    second.pass();
    writer.write(5'000);
    victim.end();
    run_until(second, [&] { return !second.pass(); });
  }
  REQUIRE(place.traces().size() == 1);
  const hl::TraceFacts f = hl::check_trace(place.traces()[0]);
  CHECK(f.closed);
  CHECK(f.all_events == 20'000);
  CHECK(f.out_of_order == 0);
  CHECK(f.nodes == 150);
  CHECK(f.modules == 1);
  CHECK(f.status.how == 2);
  CHECK(f.status.code == SIGKILL);
}

TEST_CASE("a torn chunk at the end is cut off and its events are written again") {
  const Place place;
  Victim victim;
  const auto session = make_session(place);
  hl::FakeShim shim(place.settings().path);
  shim.claim_process(0, victim.pid());
  hl::FakeShim::Writer writer(shim);
  writer.write(1'000);
  uintmax_t after_first = 0;
  {
    hl::Recorder first(*session, {});
    first.pass();
    after_first = std::filesystem::file_size(place.traces()[0]);
  }
  std::filesystem::resize_file(place.traces()[0], after_first - 40);
  hl::Recorder second(*session, {.restarts = 1});
  second.pass();
  victim.end();
  run_until(second, [&] { return !second.pass(); });
  const hl::TraceFacts f = hl::check_trace(place.traces()[0]);
  CHECK(f.closed);
  CHECK(f.all_events == 1'000);
  CHECK(f.out_of_order == 0);
}

TEST_CASE("blocks of threads that were killed come back to the pool while the process lives") {
  const Place place;
  const auto session = make_session(place);
  hl::FakeShim shim(place.settings().path);
  Victim victim;
  shim.claim_process(0, victim.pid());
  hl::Recorder recorder(*session, {});
  {
    hl::FakeShim::Writer alive(shim, victim.pid());
    hl::FakeShim::Writer killed(shim, 0x3ffffff0); // no such thread
    alive.write(10);
    killed.write(10);
    alive.abandon();
    killed.abandon();
  }
  CHECK(shim.header().event_blocks.load() == 2);
  run_until(recorder, [&] { return shim.header().event_blocks.load() == 1; });
  victim.end();
  run_until(recorder, [&] { return shim.header().event_blocks.load() == 0; });
  const hl::TraceFacts f = hl::check_trace(place.traces()[0]);
  CHECK(f.all_events == 20);
}

TEST_CASE("bytes that cannot be events are counted as damaged and cost nothing but their block") {
  const Place place;
  const auto session = make_session(place);
  hl::FakeShim shim(place.settings().path);
  Victim victim;
  shim.claim_process(0, victim.pid());
  hl::FakeShim::Writer good(shim), bad(shim);
  good.write(500);
  bad.write(500);
  std::memset(bad.block()->payload + 1000, 0xff, 64);
  victim.end();
  hl::Recorder recorder(*session, {});
  run_until(recorder, [&] { return !recorder.pass(); });
  const hl::TraceFacts f = hl::check_trace(place.traces()[0]);
  CHECK(f.closed);
  CHECK(f.events.at(good.thread_index()) == 500);
  CHECK(f.events.at(bad.thread_index()) <= 500);
  CHECK(f.losses.losses[static_cast<int>(hl::LossCause::damaged)] >= 1);
}

TEST_CASE("exec: each image has its own trace, and the older one says that it was replaced") {
  const Place place;
  hl::SessionSettings settings = place.settings();
  settings.output = place.directory + "/out.hlt";
  std::string why;
  const auto session = hl::SessionFile::create(settings, why);
  REQUIRE_MESSAGE(session != nullptr, why);
  Victim victim;
  hl::Recorder recorder(*session, {});
  hl::FakeShim before(settings.path), after(settings.path);
  before.claim_process(0, victim.pid());
  hl::FakeShim::Writer(before).write(5);
  recorder.pass();
  CHECK(std::filesystem::exists(settings.output));
  after.claim_process(1, victim.pid());
  hl::FakeShim::Writer(after).write(7);
  victim.end();
  run_until(recorder, [&] { return !recorder.pass(); });
  // FILE is what the root became.
  CHECK(hl::check_trace(settings.output).all_events == 7);
  const hl::TraceFacts f =
      hl::check_trace(place.directory + "/out." + std::to_string(before.process().pid) + ".0.hlt");
  CHECK(f.all_events == 5);
  CHECK(f.closed);
  CHECK(f.status.how == 3);
}

TEST_CASE("a full disk is counted and stops neither the writer nor the recorder") {
  const Place place;
  // A mount namespace of a child; where that is not allowed there is nothing to test with.
  const pid_t child = fork();
  if (child == 0) {
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        mount("hl-test", place.directory.c_str(), "tmpfs", 0, "size=6m") != 0)
      _exit(77);
    std::string why;
    const auto session = hl::SessionFile::create(place.settings(), why);
    if (session == nullptr)
      _exit(2);
    Victim victim;
    hl::FakeShim shim(place.settings().path);
    shim.claim_process(0, victim.pid());
    std::thread drain([&] { hl::Recorder(*session, {.pool_bytes = 1u << 20}).run(); });
    hl::FakeShim::Writer writer(shim);
    writer.write(2'000'000); // some 5 MB of trace where about 3 fit
    const uint64_t lost = shim.process().losses[static_cast<int>(hl::LossCause::disk_full)].load();
    victim.end();
    drain.join();
    const auto traces = place.traces();
    if (traces.size() != 1)
      _exit(3);
    const hl::TraceFacts f = hl::check_trace(traces[0]);
    _exit(!f.readable                       ? 4
          : lost == 0                       ? 5
          : f.all_events + lost > 2'000'000 ? 6
          : f.all_events < 200'000          ? 7
                                            : 0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  REQUIRE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 77)
    MESSAGE("not allowed to mount: not tested");
  else
    CHECK(WEXITSTATUS(status) == 0);
}

} // namespace
