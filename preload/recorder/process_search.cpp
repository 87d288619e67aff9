// See process_search.h.
#include "process_search.h"

#include <algorithm>
#include <cstdlib>

#include <dirent.h>
#include <sys/stat.h>

#include "heapledger/session_layout.h"
#include "process_watch.h"

namespace hl {

namespace {

// What a process is called in our namespace, in those within it, and by itself.
std::vector<uint32_t> pids_of(uint32_t pid) {
  std::vector<uint32_t> pids;
  const std::string status = read_small_file("/proc/" + std::to_string(pid) + "/status");
  const size_t line = status.find("\nNSpid:");
  if (line == std::string::npos)
    return pids;
  const char* at = status.c_str() + line + 7;
  while (*at == '\t' || *at == ' ') {
    char* end = nullptr;
    pids.push_back(static_cast<uint32_t>(std::strtoul(at, &end, 10)));
    at = end;
  }
  return pids;
}

enum class Verdict { certainly, perhaps, no };

Verdict judge(const SoughtProcess& sought, uint32_t candidate) {
  const uint64_t born_ns = start_of(candidate);
  if (born_ns == 0 || (sought.born_before_ns != 0 && born_ns > sought.born_before_ns + kStartsApartNs))
    return Verdict::no;
  const bool known = known_pid_namespace(sought.pid_namespace) != 0;
  const std::string directory = "/proc/" + std::to_string(candidate);
  struct stat space;
  if (known && stat((directory + "/ns/pid").c_str(), &space) == 0)
    return space.st_ino == sought.pid_namespace ? Verdict::certainly : Verdict::no;
  // By its name alone: in another mount namespace the rest of its path may be another.
  const std::string maps = read_small_file(directory + "/maps");
  const std::string name = sought.session_path.substr(sought.session_path.rfind('/') + 1);
  if (!maps.empty() && maps.find(name) == std::string::npos)
    return Verdict::no;
  return Verdict::perhaps;
}

// What is hidden cannot be ruled out: then not even the first process of all is to be seen.
bool proc_hides_processes() {
  return start_of(1) == 0;
}

// Its parent is that of the recorded ones; those in between may not have done anything to be recorded for.
bool descends_from(uint32_t candidate, uint32_t ancestor) {
  constexpr int kParent = 4, kMostGenerations = 32;
  for (int i = 0; i < kMostGenerations && candidate > 1; ++i) {
    candidate = static_cast<uint32_t>(std::strtoul(stat_field(candidate, kParent).c_str(), nullptr, 10));
    if (candidate == ancestor)
      return true;
  }
  return false;
}

// May be it, by all that does not lie in its namespace. Is it, if it is the only one?
bool is_likely(const SoughtProcess& sought, uint32_t candidate) {
  if (sought.pid_namespace == 0 && candidate == sought.pid) // in our own namespace, like most
    return true;
  return sought.parent != 0 && descends_from(candidate, sought.parent);
}

} // namespace

std::optional<uint32_t> find_process(const SoughtProcess& sought) {
  DIR* const proc = opendir("/proc");
  if (proc == nullptr)
    return std::nullopt;
  std::vector<uint32_t> likely;
  bool others_possible = false;
  while (const dirent* entry = readdir(proc)) {
    const uint32_t candidate = static_cast<uint32_t>(std::strtoul(entry->d_name, nullptr, 10));
    if (candidate == 0)
      continue;
    const std::vector<uint32_t> pids = pids_of(candidate);
    const bool may_be_ours = sought.pid_namespace == 0;
    if (pids.empty() || pids.back() != sought.pid || (pids.size() == 1 && !may_be_ours))
      continue;
    const bool other =
        std::find(sought.others.begin(), sought.others.end(), candidate) != sought.others.end();
    const Verdict verdict = judge(sought, candidate);
    if (verdict == Verdict::certainly) {
      closedir(proc);
      return candidate;
    }
    if (verdict == Verdict::perhaps && !other && is_likely(sought, candidate))
      likely.push_back(candidate);
    else if (verdict == Verdict::perhaps)
      others_possible = true;
  }
  closedir(proc);
  if (proc_hides_processes())
    return std::nullopt;
  if (likely.empty() && !others_possible)
    return 0;
  if (likely.size() == 1)
    return likely.front();
  return std::nullopt;
}

} // namespace hl
