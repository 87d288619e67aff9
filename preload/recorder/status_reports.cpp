// See status_reports.h.
#include "status_reports.h"

#include <algorithm>

namespace hl {

namespace {

// That were sent: a recorder that dies has dealt with all but the newest.
constexpr size_t kMostKept = 1000;

} // namespace

void StatusReports::add(ControlKind kind, const ChildStatus& child) {
  reports_.push_back({kind, child});
  if (sent_ <= kMostKept)
    return;
  const auto orphan = std::find_if(reports_.begin(), reports_.end(),
                                   [](const Report& r) { return r.kind == ControlKind::reaped; });
  reports_.erase(orphan);
  sent_--;
}

void StatusReports::send(int fd) {
  while (!all_sent()) {
    ControlMessage m;
    m.kind = reports_[sent_].kind;
    m.child = reports_[sent_].child;
    if (!send_message(fd, m))
      return;
    sent_++;
  }
}

} // namespace hl
