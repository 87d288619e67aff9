// See running_process.h.
#include "live/running_process.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <climits>
#include <csignal>
#include <cstring>
#include <fstream>
#include <optional>
#include <sstream>

#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "heapledger/trace_format.h"
#include "scan/process_status.h"

namespace hl {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kLongestSilence = std::chrono::seconds(10); // of a recorder that sleeps 50 ms at most

void wake(std::atomic<uint32_t>& word) {
  ::syscall(SYS_futex, &word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

// Waits while the word has this value, 50 ms at most.
void wait_for_change(const std::atomic<uint32_t>& word, uint32_t value) {
  const timespec slice{0, 50'000'000};
  ::syscall(SYS_futex, &word, FUTEX_WAIT, value, &slice, nullptr, 0);
}

std::string process_words(uint32_t pid) {
  return "process " + std::to_string(pid);
}

// A session file that is cut short or whose disk fails while it is mapped: the next touch is SIGBUS. Nothing
// can be thrown out of a handler, so it says what NotRecorded would, and ends this program as its verbs do
// then.
std::string g_session_gone; // made beforehand: a handler makes nothing
int g_status_then;

void on_session_gone(int) {
  [[maybe_unused]] const ssize_t said = ::write(STDERR_FILENO, g_session_gone.data(), g_session_gone.size());
  ::_exit(g_status_then);
}

// The process's directory in /proc, or that of a thread where the main thread has ended before the others.
std::string directory_with_memory(uint32_t pid) {
  std::string directory = "/proc/" + std::to_string(pid);
  const auto has_memory = [](const std::string& place) {
    return std::ifstream(place + "/maps").peek() != std::ifstream::traits_type::eof();
  };
  if (has_memory(directory))
    return directory;
  for (const uint32_t tid : tasks_of(pid))
    if (std::string task = directory + "/task/" + std::to_string(tid); has_memory(task))
      return task;
  return directory;
}

} // namespace

RunningProcess::RunningProcess(uint32_t pid, int status_without_session) {
  g_status_then = status_without_session;
  map_session(pid);
  find_slot(pid);
  require_recorder();
}

RunningProcess::~RunningProcess() {
  if (base_ != nullptr)
    ::munmap(base_, mapped_bytes_);
}

void RunningProcess::map_session(uint32_t pid) {
  struct stat info;
  if (::stat(("/proc/" + std::to_string(pid)).c_str(), &info) != 0)
    throw NotRecorded(errno == ENOENT && (::kill(static_cast<pid_t>(pid), 0) == 0 || errno == EPERM)
                          ? "/proc hides " + process_words(pid) +
                                " from you: it is not dumpable, or another user's; ask as root"
                          : "there is no " + process_words(pid));
  const std::string directory = directory_with_memory(pid);
  std::ifstream maps(directory + "/maps");
  std::string line;
  bool any = false;
  while (std::getline(maps, line)) {
    any = true;
    std::istringstream words(line);
    std::string range, rights, offset, device, path;
    uint64_t inode = 0;
    words >> range >> rights >> offset >> device >> inode >> std::ws;
    std::getline(words, path);
    if (rights != "rw-s" || offset != "00000000" || path.empty() || path[0] != '/')
      continue;
    // As the process sees it: it may live in another root.
    const std::string within = directory + "/root";
    for (const std::string& candidate : {path, within + path}) {
      const int fd = ::open(candidate.c_str(), O_RDWR | O_CLOEXEC);
      if (fd < 0 && errno == EACCES && path.ends_with("session"))
        throw NotRecorded("its session file is another user's: " + path);
      uint64_t magic = 0;
      const bool good = fd >= 0 && ::fstat(fd, &info) == 0 && info.st_ino == inode &&
                        ::pread(fd, &magic, sizeof(magic), 0) == sizeof(magic) && magic == kSessionMagic;
      if (good) {
        mapped_bytes_ = static_cast<uint64_t>(info.st_size);
        void* const map = ::mmap(nullptr, mapped_bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        base_ = map == MAP_FAILED ? nullptr : static_cast<char*>(map);
      }
      if (fd >= 0)
        ::close(fd);
      if (base_ != nullptr)
        break;
    }
    if (base_ != nullptr)
      break;
  }
  if (!any && ::geteuid() != 0)
    throw NotRecorded(process_words(pid) + " is another user's");
  if (base_ == nullptr)
    throw NotRecorded(process_words(pid) + " is not being recorded by heapledger");
  g_session_gone = "heapledger: the session file of " + process_words(pid) +
                   " is gone (cut short, or its disk failed): it is not recorded any more\n";
  std::signal(SIGBUS, on_session_gone);
  session_ = reinterpret_cast<SessionHeader*>(base_);
  if (mapped_bytes_ < block_offset(1) || session_->version != kSessionVersion ||
      session_->header_bytes < sizeof(SessionHeader))
    throw NotRecorded(process_words(pid) + " is being recorded by another version of heapledger");
}

void RunningProcess::find_slot(uint32_t pid) {
  const auto* const table = reinterpret_cast<std::atomic<uint32_t>*>(base_ + kProcessTableOffset);
  const uint64_t blocks = (mapped_bytes_ - kBlocksOffset) / kBlockBytes;
  const std::optional<TaskStatus> status = task_status(pid, pid);
  const uint32_t own_pid = status ? status->own_tid : pid; // as it calls itself in its own namespace
  struct stat space;
  const bool knows_space = ::stat(("/proc/" + std::to_string(pid) + "/ns/pid").c_str(), &space) == 0;
  for (uint32_t i = 0; i < kMaxProcesses; i++) {
    const uint32_t entry = table[i].load(std::memory_order_acquire);
    if (entry == 0 || entry > blocks)
      continue;
    auto* const slot = reinterpret_cast<SessionProcess*>(base_ + block_offset(entry - 1));
    if (slot->header.kind.load(std::memory_order_acquire) != static_cast<uint32_t>(BlockKind::process) ||
        slot->pid != own_pid)
      continue;
    if (slot->pid_namespace == kOtherPidNamespace
            ? slot->global_pid.load(std::memory_order_relaxed) != pid
            : knows_space && slot->pid_namespace != 0 && slot->pid_namespace != space.st_ino)
      continue;
    const auto state = static_cast<ProcessState>(slot->state.load(std::memory_order_acquire));
    if (state != ProcessState::running && state != ProcessState::ending)
      continue;
    if (process_ == nullptr || slot->generation > process_->generation)
      process_ = slot;
  }
  if (process_ == nullptr)
    throw NotRecorded(process_words(pid) + " is not being recorded by heapledger");
}

void RunningProcess::require_recorder() {
  if ((session_->flags & kSessionRecorderless) != 0)
    throw NotRecorded("it records without a recorder: nobody could answer");
  const uint64_t beat = session_->recorder_heartbeat.load(std::memory_order_relaxed);
  wake(session_->space_waiters);
  const auto until = Clock::now() + kLongestSilence;
  while (session_->recorder_heartbeat.load(std::memory_order_relaxed) == beat) {
    if (Clock::now() > until)
      throw NotRecorded("its recorder does not run");
    ::usleep(1000);
  }
}

void RunningProcess::wait(const std::atomic<uint32_t>& word, const std::function<bool()>& done,
                          const std::function<void(double)>& waiting) {
  const auto began = Clock::now();
  auto beat_seen = began;
  uint64_t beat = session_->recorder_heartbeat.load(std::memory_order_relaxed);
  for (;;) {
    // Acquire: what was to be done is done.
    const uint32_t value = word.load(std::memory_order_acquire);
    if (done())
      return;
    const auto now = Clock::now();
    if (const uint64_t next = session_->recorder_heartbeat.load(std::memory_order_relaxed); next != beat) {
      beat = next;
      beat_seen = now;
    }
    const auto state = static_cast<RecorderState>(session_->recorder_state.load(std::memory_order_relaxed));
    if (state == RecorderState::finished || state == RecorderState::failed ||
        now - beat_seen > kLongestSilence)
      throw NotRecorded("its recorder does not answer any more");
    waiting(std::chrono::duration<double>(now - began).count());
    wait_for_change(word, value);
  }
}

std::string RunningProcess::ask(std::string name, uint32_t wanted,
                                const std::function<void(double)>& waiting) {
  ScanDesk& desk = process_->scans;
  // Acquire: pairs with the recorder's release; it has read what stood there before.
  wait(
      desk.answered,
      [&desk] {
        uint32_t nobody = 0;
        return desk.lock.compare_exchange_strong(nobody, kScanDeskOutside, std::memory_order_acquire);
      },
      waiting);
  if (name.empty())
    name = "snapshot-" + std::to_string(desk.requested.load(std::memory_order_relaxed) + 1);
  name.resize(std::min(name.size(), sizeof(desk.name) - 1));
  std::memcpy(desk.name, name.c_str(), name.size() + 1);
  desk.wanted = kDeskMark | wanted;
  desk.cause = static_cast<uint32_t>(ScanCause::outside);
  // Release: what is wanted stands there.
  const uint32_t serial = desk.requested.fetch_add(1, std::memory_order_release) + 1;
  wake(session_->space_waiters);
  wait(
      desk.completed,
      [&desk, serial] {
        return static_cast<int32_t>(desk.completed.load(std::memory_order_acquire) - serial) >= 0;
      },
      waiting);
  return name;
}

} // namespace hl
