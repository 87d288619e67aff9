// Progress on stderr, for those who wait: only on a terminal, and only after two seconds.
#pragma once

#include <chrono>

#include "analyses/trace_summary.h"

namespace hl {

class Progress {
 public:
  explicit Progress(const char* doing);
  ~Progress() { clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  ProgressCallback callback();
  void clear();

 private:
  void show(const EventStream& stream);

  const char* doing_;
  bool terminal_;
  bool shown_ = false;
  std::chrono::steady_clock::time_point begin_, next_;
};

} // namespace hl
