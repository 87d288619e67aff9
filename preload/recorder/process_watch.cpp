// See process_watch.h.
#include "process_watch.h"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <utility>

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace hl {

namespace {

// linux/pidfd.h of Linux 6.15; Debian 12's headers are older.
struct PidfdInfo {
  uint64_t mask, cgroup_id;
  uint32_t pid, tgid, ppid, ids[8];
  int32_t exit_code;
};
static_assert(sizeof(PidfdInfo) == 64);
constexpr uint64_t kPidfdInfoExit = 1u << 3;
constexpr unsigned long kPidfdGetInfo = _IOWR(0xff, 11, PidfdInfo);

// May we read more of its /proc than everybody? Else its exit status stands there as 0, whatever it is.
bool may_look_into(uint32_t pid) {
  char link[64];
  return readlink(("/proc/" + std::to_string(pid) + "/ns/pid").c_str(), link, sizeof link) > 0;
}

// One that we may not send signals to lives nonetheless.
bool is_gone(uint32_t pid) {
  return kill(static_cast<pid_t>(pid), 0) != 0 && errno == ESRCH;
}

} // namespace

std::string stat_field(uint32_t pid, int number) {
  const std::string stat = read_small_file("/proc/" + std::to_string(pid) + "/stat");
  size_t at = stat.rfind(')'); // the second field, the name, may hold anything
  for (int field = 2; field < number && at != std::string::npos; field++)
    at = stat.find(' ', at + 1);
  if (at == std::string::npos)
    return "";
  return stat.substr(at + 1, stat.find_first_of(" \n", at + 1) - at - 1);
}

uint64_t start_of(uint32_t pid) {
  constexpr int kStartTime = 22;
  return std::strtoull(stat_field(pid, kStartTime).c_str(), nullptr, 10) *
         (1'000'000'000u / static_cast<uint64_t>(sysconf(_SC_CLK_TCK)));
}

std::string read_small_file(const std::string& path) {
  std::string text;
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return text;
  char buffer[8192];
  ssize_t bytes;
  while ((bytes = read(fd, buffer, sizeof(buffer))) > 0 && text.size() < (16u << 20))
    text.append(buffer, static_cast<size_t>(bytes));
  close(fd);
  return text;
}

ProcessWatch::~ProcessWatch() {
  if (fd_ >= 0)
    close(fd_);
}

ProcessWatch::ProcessWatch(ProcessWatch&& other) noexcept
    : pid_(other.pid_), fd_(std::exchange(other.fd_, -1)), ended_(other.ended_) {}

ProcessWatch& ProcessWatch::operator=(ProcessWatch&& other) noexcept {
  std::swap(pid_, other.pid_);
  std::swap(fd_, other.fd_);
  std::swap(ended_, other.ended_);
  return *this;
}

void ProcessWatch::open(uint32_t pid, uint64_t born_before_ns) {
  pid_ = pid;
  fd_ = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  ended_ = fd_ < 0 && (pid == 0 || is_gone(pid));
  // The descriptor is held while the start time is read: it cannot change between the two.
  if (!ended_ && born_before_ns != 0 && start_of(pid) > born_before_ns + kStartsApartNs)
    ended_ = true;
}

bool ProcessWatch::ended() {
  if (ended_)
    return true;
  if (fd_ >= 0) {
    pollfd p{fd_, POLLIN, 0};
    ended_ = poll(&p, 1, 0) == 1;
  } else {
    ended_ = is_gone(pid_);
  }
  return ended_;
}

std::optional<int> ProcessWatch::exit_status() const {
  // The kernel keeps it in /proc until its parent has asked for it, and for the holder of a pidfd afterwards.
  // In this order twice: its parent may ask in between.
  for (int attempt = 0; attempt < 2 && fd_ >= 0; attempt++) {
    constexpr int kState = 3, kExitCode = 52;
    if (stat_field(pid_, kState) == "Z") {
      const int status = std::atoi(stat_field(pid_, kExitCode).c_str());
      if (status != 0 || may_look_into(pid_))
        return status;
    }
    PidfdInfo info{};
    info.mask = kPidfdInfoExit;
    if (ioctl(fd_, kPidfdGetInfo, &info) == 0 && (info.mask & kPidfdInfoExit) != 0)
      return info.exit_code;
  }
  return std::nullopt;
}

bool ProcessWatch::has_thread(uint32_t tid) const {
  struct stat info;
  const std::string tasks = "/proc/" + std::to_string(pid_) + "/task";
  const auto is_missing = [&info](const std::string& path) {
    return stat(path.c_str(), &info) != 0 && errno == ENOENT;
  };
  if (!is_missing(tasks + "/" + std::to_string(tid)))
    return true;
  // All of a living process is missing where /proc hides it (hidepid=2).
  return is_missing(tasks);
}

bool ProcessWatch::maps_file(const std::string& path) const {
  return maps().find(path) != std::string::npos;
}

std::string ProcessWatch::maps() const {
  const std::string directory = "/proc/" + std::to_string(pid_);
  std::string text = read_small_file(directory + "/maps");
  DIR* const tasks = text.empty() ? opendir((directory + "/task").c_str()) : nullptr;
  if (tasks == nullptr)
    return text;
  while (const dirent* entry = text.empty() ? readdir(tasks) : nullptr)
    if (entry->d_name[0] != '.')
      text = read_small_file(directory + "/task/" + entry->d_name + "/maps");
  closedir(tasks);
  return text;
}

} // namespace hl
