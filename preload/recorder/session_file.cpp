// See session_file.h.
#include "session_file.h"

#include <cerrno>
#include <climits>
#include <cstring>
#include <ctime>

#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <fmt/format.h>

#include "boot_id.h"
#include "platform/clock.h"
#include "platform/file_system_kind.h"

namespace hl {

namespace {

constexpr uint64_t kGrowthBlocks = 64; // 2 MiB at a time

bool copy_text(char* to, size_t room, const std::string& text) {
  if (text.size() >= room)
    return false;
  std::memcpy(to, text.c_str(), text.size() + 1);
  return true;
}

long futex(std::atomic<uint32_t>& word, int operation, uint32_t value, const timespec* timeout) {
  return syscall(SYS_futex, &word, operation, value, timeout, nullptr, 0);
}

} // namespace

const char* unfit_file_system(const std::string& directory) {
  struct statfs info;
  if (statfs(directory.c_str(), &info) != 0)
    return nullptr; // creating the file will say what is wrong
  return sys::unfit_file_system(static_cast<uint32_t>(info.f_type));
}

bool SessionFile::map(uint64_t least_bytes) {
  // The whole file it may become; less where the address space is limited.
  for (uint64_t bytes = block_offset(kMaxBlocks); bytes >= least_bytes; bytes /= 2) {
    void* at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
    if (at == MAP_FAILED)
      continue;
    base_ = static_cast<char*>(at);
    mapped_bytes_ = bytes;
    header_ = reinterpret_cast<SessionHeader*>(base_);
    pool_ = BlockPool(header_);
    return true;
  }
  return false;
}

std::unique_ptr<SessionFile> SessionFile::create(const SessionSettings& s, std::string& why) {
  std::unique_ptr<SessionFile> file(new SessionFile);
  file->path_ = s.path;
  file->fd_ = open(s.path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (file->fd_ < 0) {
    why = "cannot create " + s.path + ": " + std::strerror(errno);
    return nullptr;
  }
  const uint32_t blocks = s.pool_bytes / kBlockBytes + kGrowthBlocks;
  const auto give_up = [&](std::string reason) {
    why = std::move(reason);
    unlink(s.path.c_str());
    return nullptr;
  };
  if (const char* const name = sys::unfit_file(file->fd_))
    return give_up(fmt::format("{} is on {}, where memory cannot be shared safely", s.path, name));
  if (fallocate(file->fd_, 0, 0, static_cast<off_t>(block_offset(blocks))) != 0)
    return give_up("no room for the session file " + s.path + ": " + std::strerror(errno));
  if (!file->map(block_offset(blocks)))
    return give_up(std::string("cannot map the session file: ") + std::strerror(errno));
  SessionHeader& h = *file->header_;
  h.version = kSessionVersion;
  h.header_bytes = sizeof(SessionHeader);
  h.block_bytes = kBlockBytes;
  h.page_bytes = static_cast<uint32_t>(sysconf(_SC_PAGESIZE));
  h.flags = s.flags;
  h.clock = ClockKind::tsc;
  if (getrandom(h.uuid, sizeof(h.uuid), 0) != sizeof(h.uuid))
    return give_up("no random numbers");
  read_boot_id(h.boot_id);
  h.wait_budget_ns = s.wait_budget_ns;
  h.leak_policy = s.leak_policy;
  h.scan_options = s.scan_options;
  h.scan_wait_ns = s.scan_wait_ns;
  h.sample_budget_millionths = s.sample_budget_millionths;
  h.event_block_limit.store(s.pool_bytes / kBlockBytes, std::memory_order_relaxed);
  h.created = read_clock_pair();
  h.logical_clock.store(h.created.ticks, std::memory_order_relaxed);
  struct stat ns;
  if (stat("/proc/self/ns/pid", &ns) == 0)
    h.pid_namespace = ns.st_ino;
  if (!copy_text(h.directory, sizeof(h.directory), s.directory) ||
      !copy_text(h.output, sizeof(h.output), s.output) || !copy_text(h.path, sizeof(h.path), s.path))
    return give_up("a path is longer than a session file can name");
  copy_text(h.name, sizeof(h.name), s.name.substr(0, sizeof(h.name) - 1));
  h.blocks_available.store(blocks, std::memory_order_release);
  // Release: pairs with the acquire of everybody who attaches.
  std::atomic_ref<uint64_t>(h.magic).store(kSessionMagic, std::memory_order_release);
  return file;
}

std::unique_ptr<SessionFile> SessionFile::attach(const std::string& path, std::string& why) {
  std::unique_ptr<SessionFile> file(new SessionFile);
  file->path_ = path;
  file->fd_ = open(path.c_str(), O_RDWR | O_CLOEXEC);
  struct stat info;
  if (file->fd_ < 0 || fstat(file->fd_, &info) != 0) {
    why = "cannot open " + path + ": " + std::strerror(errno);
    return nullptr;
  }
  if (static_cast<uint64_t>(info.st_size) < block_offset(1) ||
      !file->map(static_cast<uint64_t>(info.st_size))) {
    why = path + " is no session file";
    return nullptr;
  }
  SessionHeader& h = *file->header_;
  const uint64_t magic = std::atomic_ref<uint64_t>(h.magic).load(std::memory_order_acquire);
  if (magic != kSessionMagic || h.version != kSessionVersion || h.block_bytes != kBlockBytes ||
      file->blocks_available() > kMaxBlocks ||
      block_offset(file->blocks_available()) > static_cast<uint64_t>(info.st_size)) {
    why = path + " is no session file of this version";
    return nullptr;
  }
  return file;
}

SessionFile::~SessionFile() {
  if (base_ != nullptr)
    munmap(base_, mapped_bytes_);
  if (fd_ >= 0)
    close(fd_);
}

uint64_t SessionFile::taken_word(uint32_t word) const {
  // Acquire: pairs with nothing of the taker's header (it publishes `kind`); orders our own later reads.
  return reinterpret_cast<std::atomic<uint64_t>*>(base_ + kBitmapOffset)[word].load(
      std::memory_order_acquire);
}

bool SessionFile::extend_to(uint32_t blocks) {
  uint64_t wanted = (uint64_t{blocks} + kGrowthBlocks - 1) / kGrowthBlocks * kGrowthBlocks;
  const uint64_t most = (mapped_bytes_ - kBlocksOffset) / kBlockBytes;
  if (wanted > most)
    wanted = most;
  const uint32_t have = blocks_available();
  if (wanted <= have)
    return blocks <= have;
  if (fallocate(fd_, 0, static_cast<off_t>(block_offset(have)),
                static_cast<off_t>((wanted - have) * kBlockBytes)) != 0)
    return false;
  // Release: pairs with the acquire in BlockPool::take.
  header_->blocks_available.store(static_cast<uint32_t>(wanted), std::memory_order_release);
  return true;
}

void SessionFile::give_back(uint32_t index) {
  BlockHeader* const b = block(index);
  const bool was_event = b->kind.load(std::memory_order_relaxed) == static_cast<uint32_t>(BlockKind::event);
  // The next owner must not find this one's commits: it publishes `kind` after it has set its own.
  b->kind.store(static_cast<uint32_t>(BlockKind::free), std::memory_order_release);
  pool_.give_back(index, was_event);
}

void SessionFile::wake_waiters() {
  // Sequentially consistent, as (waiters += 1; read the word) of a waiter should be: one of the two sees the
  // other. A waiter that was missed tries again by itself after a slice of its wait.
  header_->space_futex.fetch_add(1, std::memory_order_seq_cst);
  if (header_->space_waiters.load(std::memory_order_seq_cst) != 0)
    futex(header_->space_futex, FUTEX_WAKE, INT_MAX, nullptr);
}

void SessionFile::sleep_until_pressed(uint64_t timeout_ns) {
  const timespec timeout{static_cast<time_t>(timeout_ns / 1'000'000'000),
                         static_cast<long>(timeout_ns % 1'000'000'000)};
  futex(header_->space_waiters, FUTEX_WAIT, 0, &timeout);
}

void SessionFile::wake_recorder() {
  futex(header_->space_waiters, FUTEX_WAKE, 1, nullptr);
}

void SessionFile::unlink_file() {
  unlink(path_.c_str());
}

} // namespace hl
