// index.jsonl of a run directory: a line when the recording of a process image begins and when it ends, so
// that a reader knows the run's images without opening every trace. Sessions that write to one FILE have
// none.
#pragma once

#include "process_recording.h"

namespace hl {

class RunIndex {
 public:
  explicit RunIndex(const SessionHeader& session) : session_(session) {}
  ~RunIndex();
  RunIndex(const RunIndex&) = delete;
  RunIndex& operator=(const RunIndex&) = delete;

  // `event`: "started" or "ended"; `clean`: its trace was closed. What cannot be written is left out.
  void add(ProcessRecording& recording, const char* event, bool clean);

 private:
  const SessionHeader& session_;
  int fd_ = -1; // opened with the first line
};

} // namespace hl
