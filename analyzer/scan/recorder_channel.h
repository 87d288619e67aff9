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
  // Has the sample of the process's memory taken that the recorder may want. `ticks`: the process stands
  // still as of that stamp; 0: it may run. It may go on after wait_for_sample().
  void ask_for_sample(uint64_t ticks);
  // Until it was read; gives up after ten seconds.
  void wait_for_sample();
  // Has a thread that waits for the scan fork a copy; copy_error(): errno if it cannot, as far as it has said
  // so.
  void ask_for_copy();
  int copy_error();
  // The process runs again, after it stood still for that long.
  void released(uint64_t pause_ns);

 private:
  void send(ScanMessageKind kind, uint64_t ticks = 0, uint64_t pause_ns = 0);
  void take(const ScanMessage& message);
  // One message; false: none within the time.
  bool receive(ScanMessage& out, int timeout_ms);

  int descriptor_;
  uint32_t unanswered_ = 0; // flushes
  bool sample_wanted_ = false;
  int copy_error_ = 0;
  uint64_t last_sign_ns_ = 0;
};

} // namespace hl
