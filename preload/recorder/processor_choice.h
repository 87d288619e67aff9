// Keeping the recorder off the processor that the application runs on, where there is another.
//
// The scheduler wakes the recorder where it last ran. When that is the application's processor the two take
// turns there while another idles: measured, a single-threaded loop lost a third of its wall time that way.
#pragma once

#include <cstdint>

namespace hl {

// If process `pid` last ran on this thread's processor: moves away from it. Afterwards the scheduler is as
// free as before; it keeps a thread where it is unless there is a reason not to. A few microseconds.
void leave_processor_to(uint32_t pid);

} // namespace hl
