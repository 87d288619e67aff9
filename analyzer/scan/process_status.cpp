// See process_status.h.
#include "scan/process_status.h"

#include <fcntl.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string_view>

namespace hl {
namespace {

std::string task_path(uint32_t pid, uint32_t tid, const char* what) {
  return "/proc/" + std::to_string(pid) + "/task/" + std::to_string(tid) + "/" + what;
}

// What follows "NAME:\t" in the line of that name.
std::string_view field(std::string_view text, std::string_view name) {
  size_t at = text.starts_with(name) ? 0 : text.find("\n" + std::string(name));
  if (at == std::string_view::npos)
    return {};
  at = text.find('\t', at);
  if (at == std::string_view::npos)
    return {};
  return text.substr(at + 1, text.find('\n', at) - at - 1);
}

uint64_t number(std::string_view text, int base) {
  uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value, base);
  return value;
}

} // namespace

std::string read_small_file(const std::string& path) {
  std::string text;
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return text;
  char buffer[16384];
  for (ssize_t got; (got = ::read(fd, buffer, sizeof buffer)) > 0;)
    text.append(buffer, static_cast<size_t>(got));
  ::close(fd);
  return text;
}

std::optional<TaskStatus> task_status(uint32_t pid, uint32_t tid) {
  const std::string text = read_small_file(task_path(pid, tid, "status"));
  if (text.empty())
    return {};
  TaskStatus status;
  const std::string_view state = field(text, "State:");
  status.state = state.empty() ? '?' : state[0];
  const std::string_view numbers = field(text, "NSpid:");
  status.own_tid = static_cast<uint32_t>(number(numbers.substr(numbers.rfind('\t') + 1), 10));
  if (status.own_tid == 0)
    status.own_tid = tid;
  status.tracer = static_cast<uint32_t>(number(field(text, "TracerPid:"), 10));
  // Real, effective, saved, file system.
  const std::string_view users = field(text, "Uid:");
  status.file_user = static_cast<uint32_t>(number(users.substr(users.rfind('\t') + 1), 10));
  status.pending = number(field(text, "SigPnd:"), 16) | number(field(text, "ShdPnd:"), 16);
  status.blocked = number(field(text, "SigBlk:"), 16);
  status.ignored = number(field(text, "SigIgn:"), 16);
  status.caught = number(field(text, "SigCgt:"), 16);
  return status;
}

std::vector<uint32_t> tasks_of(uint32_t pid) {
  std::vector<uint32_t> tids;
  std::error_code error;
  for (std::filesystem::directory_iterator entry("/proc/" + std::to_string(pid) + "/task", error), end;
       !error && entry != end; entry.increment(error))
    if (const uint64_t tid = number(entry->path().filename().string(), 10); tid != 0)
      tids.push_back(static_cast<uint32_t>(tid));
  return tids;
}

uint64_t running_time_ns(uint32_t pid, uint32_t tid) {
  const std::string text = read_small_file(task_path(pid, tid, "schedstat"));
  return number(text, 10);
}

uint64_t blocked_stack_pointer(uint32_t pid, uint32_t tid) {
  // "number arguments stack-pointer instruction-pointer", "-1 stack-pointer instruction-pointer" or
  // "running".
  const std::string text = read_small_file(task_path(pid, tid, "syscall"));
  const size_t last = text.rfind(" 0x");
  if (last == std::string::npos || last == 0)
    return 0;
  const size_t before = text.rfind(" 0x", last - 1);
  return before == std::string::npos ? 0 : std::strtoull(text.c_str() + before + 1, nullptr, 16);
}

} // namespace hl
