// See proc_memory_reader.h.
#include "proc_memory_reader.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include "process_watch.h"

namespace hl {

namespace {

constexpr size_t kSmallFile = 65536;
constexpr uint64_t kSharedForNs = 500'000'000;

ReadResult result_of(int error) {
  switch (error) {
  case ENOENT:
  case ESRCH:
    return ReadResult::gone;
  case EACCES:
  case EPERM:
    return ReadResult::refused;
  default:
    return ReadResult::failed;
  }
}

} // namespace

SharedCounters::SharedCounters() : mount_(find_memory_mount(read_small_file("/proc/self/mountinfo"))) {}

void SharedCounters::read(std::string_view group, uint64_t now_ns, UsageFields& out) {
  const auto is_old = [now_ns](const Read& r) { return r.at_ns == 0 || now_ns - r.at_ns > kSharedForNs; };
  if (is_old(machine_)) {
    machine_.at_ns = now_ns;
    machine_.fields = {};
    parse_meminfo(read_small_file("/proc/meminfo"), machine_.fields);
    if (const auto pressure = parse_pressure(read_small_file("/proc/pressure/memory")))
      machine_.fields[UsageField::machine_pressure_us] = *pressure;
  }
  const std::string path = cgroup_path(group, mount_.kind);
  if (is_old(group_) || group_.path != path) {
    group_.at_ns = now_ns;
    group_.path = path;
    group_.fields = {};
    read_cgroup(mount_, path, read_small_file, group_.fields);
  }
  out.merge(machine_.fields);
  out.merge(group_.fields);
}

ProcMemoryReader::ProcMemoryReader(uint32_t pid)
    : directory_(open(("/proc/" + std::to_string(pid)).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)) {}

ProcMemoryReader::~ProcMemoryReader() {
  for (const int fd : {directory_, thread_, statm_})
    if (fd >= 0)
      close(fd);
}

ProcMemoryReader::ProcMemoryReader(ProcMemoryReader&& other) noexcept
    : directory_(std::exchange(other.directory_, -1)), thread_(std::exchange(other.thread_, -1)),
      statm_(std::exchange(other.statm_, -1)) {}

ProcMemoryReader& ProcMemoryReader::operator=(ProcMemoryReader&& other) noexcept {
  std::swap(directory_, other.directory_);
  std::swap(thread_, other.thread_);
  std::swap(statm_, other.statm_);
  return *this;
}

ReadResult ProcMemoryReader::read_statm(uint64_t page_bytes, UsageFields& out) {
  const ReadResult result = read_statm_of(memory(), statm_, page_bytes, out);
  return result == ReadResult::gone && turn_to_living_thread(page_bytes, out) ? ReadResult::good : result;
}

bool ProcMemoryReader::turn_to_living_thread(uint64_t page_bytes, UsageFields& out) {
  const int list = openat(directory_, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* const tasks = list < 0 ? nullptr : fdopendir(list);
  if (tasks == nullptr) {
    if (list >= 0)
      close(list);
    return false;
  }
  bool found = false;
  while (const dirent* entry = found ? nullptr : readdir(tasks)) {
    int statm = -1;
    int thread = entry->d_name[0] == '.' ? -1 : openat(list, entry->d_name, O_PATH | O_DIRECTORY | O_CLOEXEC);
    found = thread >= 0 && read_statm_of(thread, statm, page_bytes, out) == ReadResult::good;
    if (found) {
      std::swap(thread_, thread);
      std::swap(statm_, statm);
    }
    for (const int fd : {thread, statm})
      if (fd >= 0)
        close(fd);
  }
  closedir(tasks);
  return found;
}

ReadResult ProcMemoryReader::read_statm_of(int directory, int& statm, uint64_t page_bytes, UsageFields& out) {
  if (statm < 0)
    statm = openat(directory, "statm", O_RDONLY | O_CLOEXEC);
  if (statm < 0)
    return result_of(errno);
  char text[256];
  const ssize_t bytes = pread(statm, text, sizeof text, 0);
  if (bytes <= 0)
    return bytes == 0 ? ReadResult::gone : result_of(errno);
  UsageFields fields;
  if (!parse_statm({text, static_cast<size_t>(bytes)}, page_bytes, fields))
    return ReadResult::failed;
  // Without an address space: it is ending.
  if (fields[UsageField::size] == 0)
    return ReadResult::gone;
  out.merge(fields);
  return ReadResult::good;
}

ReadResult ProcMemoryReader::read_whole(int directory, const char* name, size_t most, std::string& text) {
  text.clear();
  const int fd = openat(directory, name, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return result_of(errno);
  ReadResult result = ReadResult::good;
  for (;;) {
    // The kernel gives a page of text at a time.
    constexpr size_t kStep = 16384;
    const size_t at = text.size();
    if (at >= most) {
      result = ReadResult::failed;
      break;
    }
    if (text.capacity() - at < kStep)
      text.reserve(std::max(text.capacity() * 2, at + 4 * kStep));
    text.resize(at + kStep);
    const ssize_t got = read(fd, text.data() + at, kStep);
    const int error = errno;
    text.resize(at + static_cast<size_t>(std::max<ssize_t>(got, 0)));
    if (got < 0 && error == EINTR)
      continue;
    if (got < 0)
      result = result_of(error);
    if (got <= 0)
      break;
  }
  close(fd);
  return result == ReadResult::good && text.empty() ? ReadResult::gone : result;
}

ReadResult ProcMemoryReader::read_rollup(UsageFields& out) {
  std::string text;
  const ReadResult result = read_whole(memory(), "smaps_rollup", kSmallFile, text);
  if (result != ReadResult::good)
    return result;
  return parse_rollup(text, out) ? ReadResult::good : ReadResult::failed;
}

void ProcMemoryReader::read_counters(SharedCounters& shared, uint64_t now_ns, UsageFields& out) {
  std::string text;
  if (read_whole(directory_, "stat", kSmallFile, text) != ReadResult::good)
    return;
  parse_stat(text, out);
  if (read_whole(memory(), "status", kSmallFile, text) == ReadResult::good)
    parse_status(text, out);
  if (read_whole(directory_, "oom_score", kSmallFile, text) == ReadResult::good)
    if (const auto score = leading_number(text))
      out[UsageField::oom_score] = *score;
  if (read_whole(directory_, "oom_score_adj", kSmallFile, text) == ReadResult::good) {
    // Kept + 1000, so that it is never below 0.
    const bool negative = text.starts_with("-");
    const auto adjustment = leading_number(std::string_view(text).substr(negative ? 1 : 0));
    if (adjustment && *adjustment <= 1000)
      out[UsageField::oom_score_adj] = negative ? 1000 - *adjustment : 1000 + *adjustment;
  }
  read_whole(directory_, "cgroup", kSmallFile, text);
  shared.read(text, now_ns, out);
}

ReadResult ProcMemoryReader::read_smaps(std::string& text) {
  return read_whole(memory(), "smaps", kMostSmapsBytes, text);
}

int ProcMemoryReader::open_pagemap() const {
  return openat(memory(), "pagemap", O_RDONLY | O_CLOEXEC);
}

uint64_t ProcMemoryReader::threads() {
  std::string text;
  UsageFields fields;
  if (read_whole(directory_, "stat", kSmallFile, text) != ReadResult::good || !parse_stat(text, fields))
    return 0;
  return fields[UsageField::threads];
}

} // namespace hl
