// What the recorder and the leak scanner (`heapledger scan-process`, a child of the recorder) tell each other
// over a SOCK_SEQPACKET pair: one message a packet. The scanner's result does not travel here: it writes the
// payload of a snapshot chunk (LeakScanPayload) into a memfd of the recorder's and exits with status 0. Asked
// for a sample alone it leaves no result: 0 means that the process stood still for it.
#pragma once

#include <cstdint>

namespace hl {

enum class ScanMessageKind : uint32_t {
  none = 0,
  // scanner -> recorder
  flush = 1,    // drain every committed event of the process and append it to its trace, then say `flushed`
  released = 2, // the process's memory is no longer needed: whoever waits there may go on; pause_ns
  sample = 3, // take the sample of the process's memory that is wanted, then say `sampled`. ticks: it stands
              // still, and all it has done has stamps up to there; 0: it may be running
  copy = 4,   // the file for a copy of the process is there: have it forked (heapledger/copy_window.h)
  // recorder -> scanner
  flushed = 10, // trace_bytes: size of the trace file, whole chunks only
  sampled = 11, // the sample has been read, or none is wanted
  no_copy = 12, // the process cannot open that file: error
};

struct ScanMessage {
  ScanMessageKind kind = ScanMessageKind::none;
  uint32_t error = 0; // errno
  uint64_t trace_bytes = 0;
  uint64_t ticks = 0;
  uint64_t pause_ns = 0; // how long the process stood still
};
static_assert(sizeof(ScanMessage) == 32);

} // namespace hl
