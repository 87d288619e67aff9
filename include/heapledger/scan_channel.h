// What the recorder and the leak scanner (`heapledger scan-process`, a child of the recorder) tell each other
// over a SOCK_SEQPACKET pair: one message a packet. The scanner's result does not travel here: it writes the
// payload of a snapshot chunk (LeakScanPayload) into a memfd of the recorder's and exits with status 0.
#pragma once

#include <cstdint>

namespace hl {

enum class ScanMessageKind : uint32_t {
  none = 0,
  // scanner -> recorder
  flush = 1,    // drain every committed event of the process and append it to its trace, then say `flushed`
  released = 2, // the process's memory is no longer needed: whoever waits there may go on
  // recorder -> scanner
  flushed = 10, // trace_bytes: size of the trace file, whole chunks only
};

struct ScanMessage {
  ScanMessageKind kind = ScanMessageKind::none;
  uint32_t reserved = 0;
  uint64_t trace_bytes = 0;
};
static_assert(sizeof(ScanMessage) == 16);

} // namespace hl
