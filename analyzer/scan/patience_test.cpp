// When a scan is given up for the sake of the program that waits: see patience.h.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <csignal>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cstdint>
#include <string>

#include "scan/monotonic_time.h"
#include "scan/patience.h"
#include "scan/scan_failed.h"

namespace {

using hl::Patience;
using hl::ScanCause;
using hl::ScanFailed;

constexpr uint64_t kAlways = ~uint64_t{0};

// A stopped child that blocks SIGTERM and SIGHUP, and ignores SIGHUP.
class BlockingChild {
 public:
  BlockingChild() : pid_(::fork()) {
    if (pid_ == 0) {
      sigset_t blocked;
      sigemptyset(&blocked);
      sigaddset(&blocked, SIGTERM);
      sigaddset(&blocked, SIGHUP);
      sigprocmask(SIG_BLOCK, &blocked, nullptr);
      ::signal(SIGHUP, SIG_IGN);
      ::raise(SIGSTOP);
      for (;;)
        ::pause();
    }
    ::waitpid(pid_, nullptr, WUNTRACED);
  }
  ~BlockingChild() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  BlockingChild(const BlockingChild&) = delete;
  BlockingChild& operator=(const BlockingChild&) = delete;
  uint32_t pid() const { return static_cast<uint32_t>(pid_); }
  void send(int signal) const { ::kill(pid_, signal); }

 private:
  pid_t pid_;
};

void sleep_ms(long ms) {
  const timespec duration{ms / 1000, ms % 1000 * 1'000'000};
  ::nanosleep(&duration, nullptr);
}

std::string reason_of(const Patience& patience) {
  try {
    patience.require();
    return "";
  } catch (const ScanFailed& problem) {
    CHECK(problem.failure() == hl::ScanFailure::too_long);
    return problem.what();
  }
}

TEST_CASE("patience ends with its limit") {
  const Patience patience(static_cast<uint32_t>(::getpid()), ScanCause::exit, 20'000'000);
  sleep_ms(30);
  CHECK(reason_of(patience) == "the program stood still for longer than the scan's limit");
}

TEST_CASE("a stopped program that is asked to end waits no longer") {
  const BlockingChild child;
  const Patience at_exit(child.pid(), ScanCause::exit, kAlways),
      of_signal(child.pid(), ScanCause::signal, kAlways);
  sleep_ms(1100);
  CHECK(reason_of(at_exit) == "");
  SUBCASE("not by what it ignores") {
    child.send(SIGHUP);
    sleep_ms(110);
    CHECK(reason_of(of_signal) == "");
  }
  SUBCASE("not by what it has blocked itself, but by what is blocked in the handler of a deadly signal") {
    child.send(SIGTERM);
    sleep_ms(110);
    CHECK(reason_of(at_exit) == "");
    CHECK(reason_of(of_signal) == "given up when the program was asked to end (SIGTERM)");
  }
  SUBCASE("by what it would take") {
    child.send(SIGINT);
    sleep_ms(110);
    CHECK(reason_of(at_exit) == "given up when the program was asked to end (SIGINT)");
  }
}

TEST_CASE("a killed process is looked at no longer") {
  const BlockingChild child;
  const Patience patience(child.pid(), ScanCause::exit, kAlways);
  sleep_ms(110);
  CHECK_NOTHROW(patience.require());
  child.send(SIGKILL);
  sleep_ms(110);
  CHECK_THROWS_WITH_AS(patience.require(), "the process ended during the scan", ScanFailed);
}

TEST_CASE("the signal that came with the one that ends the program asks for nothing more") {
  const BlockingChild child;
  const uint64_t began_ns = hl::monotonic_ns();
  const Patience patience(child.pid(), ScanCause::signal, kAlways);
  child.send(SIGTERM);
  sleep_ms(110);
  const std::string reason = reason_of(patience);
  if (hl::monotonic_ns() - began_ns > 1'000'000'000)
    return; // the machine was too busy for the two to come together
  CHECK(reason == "");
  sleep_ms(1100);
  CHECK(reason_of(patience) == "");
}

} // namespace
