// Children that were seen being forked and have not shown themselves yet: while one of them lives and maps
// the session file, or is about to, the recorder must not end.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "process_watch.h"

namespace hl {

class ExpectedChildren {
 public:
  // A fork told of `pid`. Beyond kMost nobody else is expected.
  void expect(uint32_t pid, uint64_t now_ns);
  // It is recorded now.
  void arrived(uint32_t pid);
  void forget_ended();
  // To be asked when nothing is recorded any more: may anybody still come who writes to `session_path`?
  bool any_left(const std::string& session_path, uint64_t now_ns);

 private:
  static constexpr size_t kMost = 1000;
  // A fresh exec maps the session file a moment after it unmapped it.
  static constexpr uint64_t kPatienceNs = 500'000'000;

  struct Child {
    ProcessWatch watch;
    uint64_t since_ns; // since it was found, or was found to map the session file
  };
  std::vector<Child> children_;
};

} // namespace hl
