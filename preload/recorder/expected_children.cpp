// See expected_children.h.
#include "expected_children.h"

#include <utility>

namespace hl {

void ExpectedChildren::expect(uint32_t pid, uint64_t now_ns) {
  if (children_.size() >= kMost)
    return;
  Child child{.watch = {}, .since_ns = now_ns};
  child.watch.open(pid, 0);
  if (!child.watch.ended())
    children_.push_back(std::move(child));
}

void ExpectedChildren::arrived(uint32_t pid) {
  std::erase_if(children_, [pid](const Child& c) { return c.watch.pid() == pid; });
}

void ExpectedChildren::forget_ended() {
  std::erase_if(children_, [](Child& c) { return c.watch.ended(); });
}

bool ExpectedChildren::any_left(const std::string& session_path, uint64_t now_ns) {
  std::erase_if(children_, [&session_path, now_ns](Child& c) {
    if (c.watch.ended())
      return true;
    if (now_ns - c.since_ns < kPatienceNs)
      return false;
    c.since_ns = now_ns;
    return !c.watch.maps_file(session_path);
  });
  return !children_.empty();
}

} // namespace hl
