// What the trace of a process is called: FILE, FILE.PID.N.hlt, EXECUTABLE.PID.N.hlt (docs/recorder.md,
// "Files").
#pragma once

#include <memory>
#include <vector>

#include "process_recording.h"

namespace hl {

// The names that `recording`'s trace may have. Where `-o FILE` is given and it is the newest image of the
// process that FILE is for, older ones among `recordings` are renamed first. `recording` may be among them.
TraceNames choose_trace_names(const SessionHeader& session, const ProcessRecording& recording,
                              const std::vector<std::unique_ptr<ProcessRecording>>& recordings);

} // namespace hl
