// See cgroup_memory.h. Files of the newer kind: the kernel's admin-guide/cgroup-v2, of the older:
// cgroup-v1/memory.
#include "cgroup_memory.h"

#include <algorithm>

namespace hl {

namespace {

constexpr uint64_t kNoLimitV1 = uint64_t{1} << 62; // "unlimited" is the largest page-aligned number
constexpr int kDeepest = 64;

// Next word of a line, ended by a blank.
std::string_view take_word(std::string_view& line) {
  const size_t end = std::min(line.find(' '), line.size());
  const std::string_view word = line.substr(0, end);
  line.remove_prefix(std::min(end + 1, line.size()));
  return word;
}

bool lists(std::string_view list, std::string_view word) {
  while (!list.empty()) {
    const size_t comma = std::min(list.find(','), list.size());
    if (list.substr(0, comma) == word)
      return true;
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return false;
}

// "max" or a number.
uint64_t limit_of(std::string_view text) {
  if (text.starts_with("max"))
    return kUsageUnlimited;
  const auto number = leading_number(text);
  if (!number)
    return kFieldUnread;
  return *number >= kNoLimitV1 ? kUsageUnlimited : *number;
}

// The least limit of the group and of those above it; kFieldUnread: none could be read.
uint64_t least_limit(const std::string& mount, const std::string& path, const char* file,
                     const ReadText& read) {
  uint64_t least = kFieldUnread; // the greatest number, above "no limit"
  std::string at = path;
  for (int depth = 0; depth < kDeepest; depth++) {
    least = std::min(least, limit_of(read(mount + at + file)));
    if (at.empty() || at == "/")
      break;
    at.resize(at.rfind('/') == at.npos ? 0 : at.rfind('/'));
  }
  return least;
}

void set(UsageFields& out, UsageField field, std::optional<uint64_t> value) {
  if (value)
    out[field] = *value;
}

void read_v1(const std::string& mount, const std::string& path, const ReadText& read, UsageFields& out) {
  const std::string group = mount + path;
  const auto usage = leading_number(read(group + "/memory.usage_in_bytes"));
  if (!usage)
    return;
  out[UsageField::cgroup_current] = *usage;
  set(out, UsageField::cgroup_peak, leading_number(read(group + "/memory.max_usage_in_bytes")));
  out[UsageField::cgroup_max] = least_limit(mount, path, "/memory.limit_in_bytes", read);
  const std::string stat = read(group + "/memory.stat");
  set(out, UsageField::cgroup_swap, number_of(stat, "total_swap"));
  set(out, UsageField::cgroup_anon, number_of(stat, "total_rss"));
  set(out, UsageField::cgroup_file, number_of(stat, "total_cache"));
  set(out, UsageField::cgroup_kernel, leading_number(read(group + "/memory.kmem.usage_in_bytes")));
  set(out, UsageField::cgroup_max_events, leading_number(read(group + "/memory.failcnt")));
  set(out, UsageField::cgroup_oom_kills, number_of(read(group + "/memory.oom_control"), "oom_kill"));
}

void read_v2(const std::string& mount, const std::string& path, const ReadText& read, UsageFields& out) {
  const std::string group = mount + path;
  // The root has no such files: it is the machine.
  const auto current = leading_number(read(group + "/memory.current"));
  if (!current)
    return;
  out[UsageField::cgroup_current] = *current;
  set(out, UsageField::cgroup_peak, leading_number(read(group + "/memory.peak")));
  out[UsageField::cgroup_max] = least_limit(mount, path, "/memory.max", read);
  out[UsageField::cgroup_high] = least_limit(mount, path, "/memory.high", read);
  set(out, UsageField::cgroup_swap, leading_number(read(group + "/memory.swap.current")));
  const std::string stat = read(group + "/memory.stat");
  set(out, UsageField::cgroup_anon, number_of(stat, "anon"));
  set(out, UsageField::cgroup_file, number_of(stat, "file"));
  set(out, UsageField::cgroup_kernel, number_of(stat, "kernel"));
  const std::string events = read(group + "/memory.events");
  set(out, UsageField::cgroup_high_events, number_of(events, "high"));
  set(out, UsageField::cgroup_max_events, number_of(events, "max"));
  set(out, UsageField::cgroup_oom_kills, number_of(events, "oom_kill"));
  set(out, UsageField::cgroup_pressure_us, parse_pressure(read(group + "/memory.pressure")));
}

} // namespace

CgroupMount find_memory_mount(std::string_view mountinfo) {
  CgroupMount found;
  while (!mountinfo.empty()) {
    const size_t end = std::min(mountinfo.find('\n'), mountinfo.size());
    std::string_view line = mountinfo.substr(0, end);
    mountinfo.remove_prefix(std::min(end + 1, mountinfo.size()));
    // "36 35 98:0 ROOT DIRECTORY options [optional...] - TYPE source SUPER-OPTIONS"
    const size_t dash = line.find(" - ");
    if (dash == line.npos)
      continue;
    std::string_view tail = line.substr(dash + 3);
    const std::string_view type = take_word(tail);
    take_word(tail);
    const std::string_view options = take_word(tail);
    for (int i = 0; i < 3; i++)
      take_word(line);
    const std::string_view root = take_word(line), directory = take_word(line);
    if (type == "cgroup" && lists(options, "memory"))
      return {CgroupKind::v1, std::string(directory), std::string(root)};
    if (type == "cgroup2" && found.kind == CgroupKind::none)
      found = {CgroupKind::v2, std::string(directory), std::string(root)};
  }
  return found;
}

std::string cgroup_path(std::string_view text, CgroupKind kind) {
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    // "4:memory:/group", "0::/group"
    const size_t first = line.find(':'), second = first == line.npos ? line.npos : line.find(':', first + 1);
    if (second == line.npos)
      continue;
    const std::string_view controllers = line.substr(first + 1, second - first - 1);
    const bool wanted = kind == CgroupKind::v1 ? lists(controllers, "memory")
                                               : line.substr(0, first) == "0" && controllers.empty();
    if (wanted)
      return std::string(line.substr(second + 1));
  }
  return "";
}

// Where the group is below what is mounted; nullopt: nowhere.
static std::optional<std::string> path_below(const CgroupMount& mount, std::string path) {
  if (mount.kind == CgroupKind::none || path.empty())
    return std::nullopt;
  // What is mounted may be a part of the hierarchy that the path is told from.
  if (mount.root != "/" && path.starts_with(mount.root))
    path.erase(0, mount.root.size());
  if (path.find("/..") != path.npos)
    return std::nullopt; // outside of what can be seen from here
  if (path == "/")
    path.clear();
  return path;
}

void read_cgroup(const CgroupMount& mount, const std::string& path, const ReadText& read, UsageFields& out) {
  const auto below = path_below(mount, path);
  if (!below)
    return;
  const auto read_kind = mount.kind == CgroupKind::v1 ? read_v1 : read_v2;
  read_kind(mount.directory, *below, read, out);
  // Told from another namespace's point of view: what is mounted is the group itself.
  if (!out.has(UsageField::cgroup_current) && !below->empty())
    read_kind(mount.directory, "", read, out);
}

static std::optional<uint64_t> read_oom_kills(const CgroupMount& mount, const std::string& path,
                                              const ReadText& read) {
  const auto below = path_below(mount, path);
  if (!below)
    return std::nullopt;
  const char* const file = mount.kind == CgroupKind::v1 ? "/memory.oom_control" : "/memory.events";
  const auto kills = number_of(read(mount.directory + *below + file), "oom_kill");
  return kills || below->empty() ? kills : number_of(read(mount.directory + file), "oom_kill");
}

void GroupOomKills::look(const CgroupMount& mount, std::string_view text, const ReadText& read) {
  std::string path = cgroup_path(text, mount.kind);
  if (path.empty() || path == path_)
    return;
  path_ = std::move(path);
  before_ = read_oom_kills(mount, path_, read);
}

std::optional<uint32_t> GroupOomKills::since(const CgroupMount& mount, const ReadText& read) const {
  const auto now = before_ ? read_oom_kills(mount, path_, read) : std::nullopt;
  if (!now)
    return std::nullopt;
  return static_cast<uint32_t>(std::min<uint64_t>(*now - std::min(*now, *before_), UINT32_MAX));
}

} // namespace hl
