// Which threads of a process are in the middle of a recorded call, as its event blocks in the session file
// say: while a thread builds an event, or reallocates, its block carries a floor (EventBlock::floor_ticks).
// Only then do the trace and the heap disagree in a way that would mislead a scan: a realloc has moved what
// the trace still sees at the old place.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "reader/input_file.h"
#include "reader/trace_metadata.h"

namespace hl {

class CallsInProgress {
 public:
  // Of the image whose trace has this uuid. Where the session file cannot be read, nobody counts as inside.
  CallsInProgress(const std::string& session_path, const Uuid& trace_uuid);

  // Reads the blocks' heads again. Threads by the numbers they have for themselves.
  std::set<uint32_t> threads_inside();

 private:
  struct Process {
    uint32_t slot, generation;
  };
  std::unique_ptr<InputFile> file_;
  Process process_{};
};

} // namespace hl
