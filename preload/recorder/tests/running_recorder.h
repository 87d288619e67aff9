// What tests of the recorder start from: a directory with a session file, a process that somebody can claim
// to be, and passes until something has come about.
#pragma once

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include "recorder.h"

namespace hl {

// A process that lives until it is ended: whom the fake shim claims to be.
class Victim {
 public:
  Victim() : pid_(fork()) {
    if (pid_ == 0) {
      prctl_death();
      for (;;)
        pause();
    }
  }
  ~Victim() { end(); }
  void end() {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
    pid_ = 0;
  }
  uint32_t pid() const { return static_cast<uint32_t>(pid_); }

 private:
  static void prctl_death() { alarm(120); }
  pid_t pid_;
};

struct Place {
  std::string directory;
  Place() {
    char name[] = "/tmp/hl-recorder-test-XXXXXX";
    directory = mkdtemp(name);
  }
  ~Place() { std::filesystem::remove_all(directory); }
  SessionSettings settings() const {
    SessionSettings s;
    s.path = directory + "/session";
    s.directory = directory;
    s.name = "test";
    s.pool_bytes = 1u << 20;
    return s;
  }
  std::vector<std::string> traces() const {
    std::vector<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator(directory))
      if (entry.path().extension() == ".hlt")
        found.push_back(entry.path());
    std::sort(found.begin(), found.end());
    return found;
  }
};

inline std::unique_ptr<SessionFile> make_session(const Place& place) {
  std::string why;
  auto session = SessionFile::create(place.settings(), why);
  REQUIRE_MESSAGE(session != nullptr, why);
  return session;
}

// Passes until `done`, bounded by passes, not by time.
inline void run_until(Recorder& recorder, const std::function<bool()>& done) {
  for (int i = 0; i < 20000 && !done(); i++) {
    recorder.pass();
    std::this_thread::sleep_for(std::chrono::microseconds(500));
  }
  CHECK(done());
}

} // namespace hl
