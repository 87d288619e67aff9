// The memory cgroup of a process, of either kind: where its files are, and what they say. Which kind it is,
// and where it is mounted, is this machine's affair and read once; where a process belongs may change at any
// time.
//
// Limits are those that hold: the least of the group's own and of all above it that can be seen from here (in
// a container those outside of it cannot).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "memory_text.h"

namespace hl {

enum class CgroupKind : uint8_t { none, v1, v2 };

// Where memory cgroups are mounted.
struct CgroupMount {
  CgroupKind kind = CgroupKind::none;
  std::string directory; // mount point
  std::string root;      // of the hierarchy, what is mounted there: "/" but in some containers
};

// From /proc/self/mountinfo; the older kind counts if the memory controller is mounted as such.
CgroupMount find_memory_mount(std::string_view mountinfo);

// Path of a process's group inside the hierarchy, from its /proc/PID/cgroup; "": none.
std::string cgroup_path(std::string_view text, CgroupKind kind);

// Content of a file; "": there is none.
using ReadText = std::function<std::string(const std::string& path)>;

// What the group's files say. `path`: of cgroup_path(). Nothing is set where the group cannot be seen.
void read_cgroup(const CgroupMount& mount, const std::string& path, const ReadText& read, UsageFields& out);

// Kills by the OOM killer among the processes of a process's group, since it was first found there. A killed
// process is counted in its own group: asking for the recorder's would miss a container that it started.
class GroupOomKills {
 public:
  // Where the process belongs now. `text`: its /proc/PID/cgroup; "" changes nothing.
  void look(const CgroupMount& mount, std::string_view text, const ReadText& read);
  // nullopt: no group was found.
  std::optional<uint32_t> since(const CgroupMount& mount, const ReadText& read) const;

 private:
  std::string path_;
  std::optional<uint64_t> before_;
};

} // namespace hl
