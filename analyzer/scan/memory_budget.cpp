// See memory_budget.h.
#include "scan/memory_budget.h"

#include <algorithm>
#include <charconv>
#include <string>
#include <string_view>

#include "scan/process_status.h"

namespace hl {
namespace {

// The number behind `name` in a text of "name   number" lines; UINT64_MAX if there is none ("max").
uint64_t number_behind(std::string_view text, std::string_view name) {
  size_t at = text.find(name);
  if (at == std::string_view::npos)
    return UINT64_MAX;
  at = text.find_first_not_of(" \t", at + name.size());
  uint64_t value = 0;
  if (at == std::string_view::npos ||
      std::from_chars(text.data() + at, text.data() + text.size(), value).ec != std::errc())
    return UINT64_MAX;
  return value;
}

// limit - usage of one cgroup. What its page cache holds can be had back and does not count as used.
uint64_t left_in(const std::string& directory, const char* limit_file, const char* usage_file) {
  const uint64_t limit = number_behind(read_small_file(directory + limit_file), "");
  const uint64_t usage = number_behind(read_small_file(directory + usage_file), "");
  if (limit == UINT64_MAX || usage == UINT64_MAX)
    return UINT64_MAX;
  const uint64_t cache = number_behind(read_small_file(directory + "/memory.stat"), "\ninactive_file ");
  const uint64_t used = usage - std::min(usage, cache == UINT64_MAX ? 0 : cache);
  return limit - std::min(limit, used);
}

// The line of /proc/self/cgroup that begins with "N:CONTROLLERS:".
std::string own_cgroup(std::string_view text, std::string_view controllers) {
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second != std::string_view::npos && line.substr(first + 1, second - first - 1) == controllers)
      return std::string(line.substr(second + 1));
  }
  return {};
}

} // namespace

uint64_t available_memory_bytes() {
  const uint64_t kib = number_behind(read_small_file("/proc/meminfo"), "MemAvailable:");
  uint64_t available = kib == UINT64_MAX ? UINT64_MAX : kib * 1024;
  const std::string cgroups = read_small_file("/proc/self/cgroup");
  const auto look_along = [&](const std::string& root, std::string path, const char* limit,
                              const char* usage) {
    while (true) {
      available = std::min(available, left_in(root + path, limit, usage));
      if (path.empty())
        break;
      path.resize(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
    }
  };
  look_along("/sys/fs/cgroup", own_cgroup(cgroups, ""), "/memory.max", "/memory.current");
  look_along("/sys/fs/cgroup/memory", own_cgroup(cgroups, "memory"), "/memory.limit_in_bytes",
             "/memory.usage_in_bytes");
  return available;
}

uint64_t scan_needs_bytes(uint64_t blocks, uint64_t bytes) {
  // A block, its place in the index, its edges' start, class and holder, and what classifying needs; and
  // edges: a word in four points to a block at most, in what was seen of real heaps.
  constexpr uint64_t kPerBlock = 120;
  constexpr uint64_t kWordsPerEdge = 4, kEdgeBytes = 4;
  return blocks * kPerBlock + std::min(bytes / 8 / kWordsPerEdge, blocks * 64) * kEdgeBytes + (64u << 20);
}

} // namespace hl
