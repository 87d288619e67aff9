// A process that is being recorded at this moment: found by its pid, through the session file that it maps.
// Asks its recorder for marks and leak scans at the process's ScanDesk (session_layout.h). Linux only.
//
// The session file was written by others: every index in it is bounded before it is used.
#pragma once

#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>

#include "heapledger/session_layout.h"

namespace hl {

// Why a process cannot be spoken to, in words for the user.
class NotRecorded : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class RunningProcess {
 public:
  // Throws NotRecorded. Should the session file go away while it is mapped (SIGBUS), that is said on standard
  // error and this program ends with `status_without_session`.
  RunningProcess(uint32_t pid, int status_without_session);
  ~RunningProcess();
  RunningProcess(const RunningProcess&) = delete;
  RunningProcess& operator=(const RunningProcess&) = delete;

  // Asks for what is `wanted` (ScanDeskWants; a mark in any case) under `name` ("": one is made up); waits
  // until all of it is in the trace. `waiting` is called now and then with the seconds so far. Returns the
  // name. Throws NotRecorded where the recorder does not answer any more.
  std::string ask(std::string name, uint32_t wanted, const std::function<void(double)>& waiting);
  // With the newest scan's result.
  const ScanDesk& desk() const { return process_->scans; }
  // Of the newest request.
  SampleAnswer sample_answer() const { return static_cast<SampleAnswer>(process_->sample_answer.load()); }

 private:
  void map_session(uint32_t pid);
  void find_slot(uint32_t pid);
  void require_recorder();
  // Until `done()`, as long as the recorder's heart beats.
  void wait(const std::atomic<uint32_t>& word, const std::function<bool()>& done,
            const std::function<void(double)>& waiting);

  char* base_ = nullptr;
  uint64_t mapped_bytes_ = 0;
  SessionHeader* session_ = nullptr;
  SessionProcess* process_ = nullptr;
};

} // namespace hl
