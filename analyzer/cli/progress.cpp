// See progress.h.
#include "cli/progress.h"

#include <unistd.h>

#include <cstdio>

namespace hl {

Progress::Progress(const char* doing)
    : doing_(doing), terminal_(::isatty(STDERR_FILENO) == 1), begin_(std::chrono::steady_clock::now()),
      next_(begin_ + std::chrono::seconds(2)) {}

ProgressCallback Progress::callback() {
  if (!terminal_)
    return {};
  return [this](const EventStream& stream) { show(stream); };
}

void Progress::show(const EventStream& stream) {
  const auto now = std::chrono::steady_clock::now();
  if (now < next_)
    return;
  next_ = now + std::chrono::milliseconds(200);
  const double share = stream.bytes_total() == 0 ? 1.0
                                                 : static_cast<double>(stream.bytes_done()) /
                                                       static_cast<double>(stream.bytes_total());
  const double elapsed = std::chrono::duration<double>(now - begin_).count();
  const double left = share > 0.01 ? elapsed * (1 - share) / share : 0;
  std::fprintf(stderr, "\r\x1b[K%s: %3.0f %%, about %.0f s left", doing_, share * 100, left);
  std::fflush(stderr);
  shown_ = true;
}

void Progress::clear() {
  if (!shown_)
    return;
  std::fputs("\r\x1b[K", stderr);
  std::fflush(stderr);
  shown_ = false;
}

} // namespace hl
