// Keeping the recorder off processors that the application needs, where there is another; where there is
// none, being a burden to all of its threads alike.
//
// The scheduler wakes the recorder where it last ran. When that is the application's processor the two take
// turns there while another idles: measured, a single-threaded loop lost a third of its wall time that way.
// When every processor has a busy thread, the one that the recorder stays with lags behind the others, and
// whoever waits for all of them waits for that one: two threads on two processors took 12 % longer.
#pragma once

#include <cstdint>

namespace hl {

class ProcessorChoice {
 public:
  ProcessorChoice();
  ~ProcessorChoice();
  ProcessorChoice(const ProcessorChoice&) = delete;
  ProcessorChoice& operator=(const ProcessorChoice&) = delete;

  // By the thread that drains, now and then (at `now_ns`, any steady clock; more than fifty calls a second
  // do nothing more). Leaves this processor if process `pid` last ran here, or if this thread has waited for
  // it. Afterwards the scheduler is as free as before; it keeps a thread where it is unless there is a reason
  // not to. Some ten microseconds.
  void reconsider(uint32_t pid, uint64_t now_ns);

 private:
  bool has_waited();

  int schedstat_fd_; // -1 where the kernel does not tell
  uint64_t next_ns_ = 0;
  uint64_t ran_ns_ = 0, waited_ns_ = 0; // of this thread, when last looked at
};

} // namespace hl
