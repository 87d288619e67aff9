// The scanner's end of the channel to its recorder (heapledger/scan_channel.h). A recorder that is gone ends
// the scan: nobody would take its result.
#pragma once

#include <cstdint>

#include "heapledger/scan_channel.h"

namespace hl {

class RecorderChannel {
 public:
  explicit RecorderChannel(int descriptor) : descriptor_(descriptor) {}

  // Everything committed so far is in the trace file when this returns. Throws ScanFailed.
  void flush();
  // Tells a recorder that waits for long that the scanner is at work: asks for a flush now and then, and does
  // not wait for it.
  void show_life();
  // The process runs again.
  void released();

 private:
  void send(ScanMessageKind kind);
  // One message; false: none within the time.
  bool receive(ScanMessage& out, int timeout_ms);

  int descriptor_;
  uint32_t unanswered_ = 0; // flushes
  uint64_t last_sign_ns_ = 0;
};

} // namespace hl
