// What the supervisor has to tell its recorder of starts and ends of processes. Kept until the channel takes
// it (a recorder that was stopped does not empty it), and after that for the successor of one that dies.
#pragma once

#include <cstddef>
#include <deque>

#include "control_channel.h"

namespace hl {

class StatusReports {
 public:
  void add(ControlKind kind, const ChildStatus& child);
  // Sends what the recorder at the other end of `fd` has not been told, as far as the channel takes it.
  void send(int fd);
  bool all_sent() const { return sent_ == reports_.size(); }
  // Another recorder is at the other end now.
  void begin_anew() { sent_ = 0; }

 private:
  struct Report {
    ControlKind kind;
    ChildStatus child;
  };
  std::deque<Report> reports_; // the first sent_ have been sent
  size_t sent_ = 0;
};

} // namespace hl
