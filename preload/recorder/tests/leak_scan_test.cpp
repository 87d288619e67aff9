// The recorder's side of leak scans: FakeShim asks, hl_fake_scanner scans (or fails to), and what must come
// of it is one chunk a request and an answer in any case.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <fstream>

#include "fake_shim.h"
#include "recorder.h"
#include "running_recorder.h"
#include "trace_check.h"

namespace {

// A place with a scanner of its own.
struct ScanPlace : hl::Place {
  ScanPlace() { std::filesystem::copy_file(HL_FAKE_SCANNER, scanner()); }
  std::string scanner() const { return directory + "/scanner"; }
  hl::RecorderSettings recorder() const {
    hl::RecorderSettings s;
    s.scans.scanner = scanner();
    return s;
  }
  // In one step: a scanner may be reading.
  void behave(const std::string& word) const {
    std::ofstream(directory + "/next") << word << '\n';
    std::filesystem::rename(directory + "/next", directory + "/behaviour");
  }
  std::vector<std::string> log() const {
    std::ifstream file(directory + "/log");
    std::vector<std::string> lines;
    for (std::string line; std::getline(file, line);)
      lines.push_back(line);
    return lines;
  }
};

// What the shim does, but without waiting.
uint32_t ask(hl::ScanDesk& desk, hl::ScanCause cause, const char* name) {
  desk.lock.store(1);
  desk.wanted = hl::kDeskScan;
  desk.cause = static_cast<uint32_t>(cause);
  std::strncpy(desk.name, name, sizeof(desk.name) - 1);
  return desk.requested.fetch_add(1) + 1;
}

// Where the newest snapshot chunk begins: what the scanner could read lies before it.
uint64_t newest_snapshot_offset(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  uint64_t found = 0, at = sizeof(hl::TracePreamble);
  hl::ChunkHeader h;
  while (file.seekg(static_cast<std::streamoff>(at)) && file.read(reinterpret_cast<char*>(&h), sizeof(h))) {
    if (h.kind == static_cast<uint16_t>(hl::ChunkKind::snapshot))
      found = at;
    at += sizeof(h) + (h.payload_bytes + 7) / 8 * 8;
  }
  return found;
}

struct Scanned {
  hl::TraceFacts facts;
  hl::LeakScanPayload scan{};
  std::string reason;
};

// One request, the process's end, and the trace's one result.
Scanned scan_once(const std::string& behaviour, uint64_t silence_ns = 120'000'000'000,
                  bool has_scanner = true) {
  const ScanPlace place;
  place.behave(behaviour);
  if (!has_scanner)
    std::filesystem::remove(place.scanner());
  const auto session = hl::make_session(place);
  hl::FakeShim shim(place.settings().path);
  hl::Victim victim;
  shim.claim_process(0, victim.pid());
  hl::FakeShim::Writer writer(shim);
  writer.write(1000);
  hl::RecorderSettings settings = place.recorder();
  settings.scans.longest_silence_ns = silence_ns;
  hl::Recorder recorder(*session, settings);
  recorder.pass();
  writer.write(1000);
  hl::ScanDesk& desk = shim.process().scans;
  CHECK(ask(desk, hl::ScanCause::program, "lunch") == 1);
  hl::run_until(recorder, [&] { return desk.completed.load() == 1; });
  CHECK(desk.answered.load() == 1);
  CHECK(desk.lock.load() == 0);
  writer.write(1000);
  victim.end();
  hl::run_until(recorder, [&] { return !recorder.pass(); });
  REQUIRE(place.traces().size() == 1);
  Scanned result;
  result.facts = hl::check_trace(place.traces()[0]);
  CHECK_MESSAGE(result.facts.readable, result.facts.why);
  CHECK(result.facts.closed);
  CHECK(result.facts.all_events == 3000);
  CHECK(result.facts.out_of_order == 0);
  REQUIRE(result.facts.scans.size() == 1);
  result.scan = result.facts.scans[0];
  result.reason = result.facts.scan_reasons[0];
  CHECK(result.scan.cause == static_cast<uint8_t>(hl::ScanCause::program));
  return result;
}

void check_failed(const Scanned& result, hl::ScanFailure failure, const std::string& reason) {
  CHECK(result.scan.way == static_cast<uint8_t>(hl::ScanWay::none));
  CHECK(result.scan.failure == static_cast<uint8_t>(failure));
  CHECK(result.reason == reason);
}

TEST_CASE("what the scanner found becomes a chunk of the trace, and who asked is told the totals") {
  const ScanPlace place;
  const auto session = hl::make_session(place);
  hl::FakeShim shim(place.settings().path);
  hl::Victim victim;
  shim.claim_process(0, victim.pid());
  hl::FakeShim::Writer writer(shim);
  hl::Recorder recorder(*session, place.recorder());
  recorder.pass();
  hl::ScanDesk& desk = shim.process().scans;
  for (uint32_t round = 1; round <= 3; round++) {
    writer.write(500);
    CHECK(ask(desk, hl::ScanCause::outside, "round") == round);
    hl::run_until(recorder, [&] { return desk.completed.load() == round; });
    CHECK(desk.way.load() == static_cast<uint32_t>(hl::ScanWay::stopped));
    CHECK(desk.failure.load() == 0);
    CHECK(desk.class_blocks[3].load() == 4);
    CHECK(desk.class_bytes[0].load() == 1000);
    // All that was committed was there for the scanner to read.
    REQUIRE(place.log().size() == round);
    CHECK(place.log().back() == "5 round " + std::to_string(newest_snapshot_offset(place.traces()[0])));
  }
  victim.end();
  hl::run_until(recorder, [&] { return !recorder.pass(); });
  const hl::TraceFacts f = hl::check_trace(place.traces()[0]);
  CHECK(f.closed);
  CHECK(f.all_events == 1500);
  CHECK(f.scans.size() == 3);
}

TEST_CASE("a scanner that fails leaves a chunk that says why, and whoever waits is answered") {
  using hl::ScanFailure;
  check_failed(scan_once("fail"), ScanFailure::scanner_failed, "the scanner ended with status 7");
  check_failed(scan_once("die"), ScanFailure::scanner_failed, "the scanner was killed by signal 9");
  check_failed(scan_once("empty"), ScanFailure::scanner_failed, "the scanner left no result");
  check_failed(scan_once("nonsense"), ScanFailure::scanner_failed, "the result makes no sense");
  check_failed(scan_once("mute", 50'000'000), ScanFailure::too_long, "given up after 0 s");
  const Scanned missing = scan_once("good", 120'000'000'000, false);
  CHECK(missing.scan.failure == static_cast<uint8_t>(ScanFailure::scanner_failed));
  CHECK(missing.reason.ends_with("/scanner: No such file or directory"));
}

TEST_CASE("who asked may go on while the scanner still works, and its recording stays open until the result "
          "is in") {
  const ScanPlace place;
  place.behave("linger");
  const auto session = hl::make_session(place);
  hl::FakeShim shim(place.settings().path);
  hl::Victim victim;
  shim.claim_process(0, victim.pid());
  hl::Recorder recorder(*session, place.recorder());
  recorder.pass();
  hl::ScanDesk& desk = shim.process().scans;
  ask(desk, hl::ScanCause::exit, "");
  hl::run_until(recorder, [&] { return desk.answered.load() == 1; });
  CHECK(desk.completed.load() == 0);
  victim.end();
  for (int i = 0; i < 20; i++)
    CHECK(recorder.pass());
  CHECK_FALSE(hl::check_trace(place.traces()[0]).closed);
  place.behave("good");
  hl::run_until(recorder, [&] { return !recorder.pass(); });
  const hl::TraceFacts f = hl::check_trace(place.traces()[0]);
  CHECK(f.closed);
  CHECK(f.scans.size() == 1);
  // Though it was reaped long before.
  CHECK(f.status.how == 2);
  CHECK(f.status.code == SIGKILL);
}

TEST_CASE("two scanners run at a time and the others wait their turn, while all are drained") {
  const ScanPlace place;
  place.behave("hold");
  const auto session = hl::make_session(place);
  hl::Recorder recorder(*session, place.recorder());
  std::vector<std::unique_ptr<hl::Victim>> victims;
  std::vector<std::unique_ptr<hl::FakeShim>> shims;
  std::vector<std::unique_ptr<hl::FakeShim::Writer>> writers;
  for (int i = 0; i < 5; i++) {
    victims.push_back(std::make_unique<hl::Victim>());
    shims.push_back(std::make_unique<hl::FakeShim>(place.settings().path));
    shims.back()->claim_process(0, victims.back()->pid());
    writers.push_back(std::make_unique<hl::FakeShim::Writer>(*shims.back()));
    ask(shims.back()->process().scans, hl::ScanCause::exit, "");
  }
  hl::run_until(recorder, [&] { return place.log().size() == 2; });
  for (auto& writer : writers)
    writer->write(100'000);
  for (int i = 0; i < 50; i++)
    recorder.pass();
  CHECK(place.log().size() == 2);
  place.behave("good");
  hl::run_until(recorder, [&] {
    return std::all_of(shims.begin(), shims.end(),
                       [](auto& s) { return s->process().scans.completed.load() == 1; });
  });
  for (auto& victim : victims)
    victim->end();
  hl::run_until(recorder, [&] { return !recorder.pass(); });
  REQUIRE(place.traces().size() == 5);
  for (const std::string& trace : place.traces()) {
    const hl::TraceFacts f = hl::check_trace(trace);
    CHECK(f.closed);
    CHECK(f.all_events == 100'000);
    CHECK(f.scans.size() == 1);
  }
}

TEST_CASE("a recorder that takes over does again what its predecessor left open") {
  const ScanPlace place;
  place.behave("hold");
  const auto session = hl::make_session(place);
  hl::FakeShim shim(place.settings().path);
  hl::Victim victim;
  shim.claim_process(0, victim.pid());
  hl::ScanDesk& desk = shim.process().scans;
  {
    hl::Recorder first(*session, place.recorder());
    ask(desk, hl::ScanCause::exit, "");
    hl::run_until(first, [&] { return place.log().size() == 1; });
  }
  CHECK(desk.answered.load() == 0);
  place.behave("linger");
  hl::RecorderSettings settings = place.recorder();
  settings.restarts = 1;
  {
    hl::Recorder second(*session, settings);
    hl::run_until(second, [&] { return desk.answered.load() == 1; });
  }
  // The process has been let go: its memory may be another's by now.
  hl::Recorder third(*session, settings);
  hl::run_until(third, [&] { return desk.completed.load() == 1; });
  CHECK(place.log().size() == 2);
  victim.end();
  hl::run_until(third, [&] { return !third.pass(); });
  const hl::TraceFacts f = hl::check_trace(place.traces()[0]);
  CHECK(f.closed);
  REQUIRE(f.scans.size() == 1);
  CHECK(f.scans[0].failure == static_cast<uint8_t>(hl::ScanFailure::scanner_failed));
  CHECK(f.scan_reasons[0] == "the recorder was killed before the result was written");
}

TEST_CASE("a process that ended before its turn has a chunk that says so") {
  const ScanPlace place;
  const auto session = hl::make_session(place);
  hl::FakeShim shim(place.settings().path);
  hl::Victim victim;
  shim.claim_process(0, victim.pid());
  ask(shim.process().scans, hl::ScanCause::exit, "");
  victim.end();
  hl::Recorder recorder(*session, place.recorder());
  hl::run_until(recorder, [&] { return !recorder.pass(); });
  const hl::TraceFacts f = hl::check_trace(place.traces()[0]);
  REQUIRE(f.scans.size() == 1);
  CHECK(f.scans[0].failure == static_cast<uint8_t>(hl::ScanFailure::gone));
  CHECK(place.log().empty());
}

} // namespace
