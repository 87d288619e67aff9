// Which process of ours is one that knows itself by the pid of another namespace.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace hl {

struct SoughtProcess {
  uint32_t pid = 0;             // as it sees itself
  uint64_t pid_namespace = 0;   // inode; 0: it could not find out, kOtherPidNamespace: nor is it ours
  uint64_t born_before_ns = 0;  // CLOCK_BOOTTIME moment at which it existed; 0 unknown
  uint32_t parent = 0;          // its parent's pid in our namespace; 0 unknown
  std::string session_path;     // of the session file, which it maps
  std::vector<uint32_t> others; // pids in our namespace of processes that are taken for others
};

// Its pid in our namespace. 0: there is no such process (any more); nullopt: there may be one, but which
// cannot be told, for its namespace is hidden from us. Not to be guessed: who is taken to have ended while it
// lives goes on writing to blocks that others were given.
std::optional<uint32_t> find_process(const SoughtProcess& sought);

} // namespace hl
