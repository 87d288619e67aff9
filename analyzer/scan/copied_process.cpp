// See copied_process.h.
#include "scan/copied_process.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <optional>

#include "scan/monotonic_time.h"
#include "scan/process_status.h"

namespace hl {
namespace {

constexpr uint64_t kPage = kScanPageBytes;
constexpr size_t kWindowPages = 4096;
constexpr uint64_t kMs = 1'000'000;
constexpr uint64_t kForkLimitNs = 10'000 * kMs, kAnswerLimitNs = 30'000 * kMs, kSliceNs = 20 * kMs;
// struct pthread of glibc, x86_64: it begins with a pointer to itself, has another one 16 bytes on, and the
// thread's number further on, 0 once it has ended.
constexpr uint64_t kSelfOffset = 16, kTidOffset = 720, kDescriptorAlignment = 64;
// What lies above a thread's descriptor in its mapping is less.
constexpr uint64_t kDescriptorWithin = 16384;

// Waits until the word has that value; false: not within the time.
bool wait_for(std::atomic<uint32_t>& word, uint32_t wanted, const std::atomic<uint32_t>& failed,
              uint64_t limit_ns) {
  const uint64_t began_ns = monotonic_ns();
  while (true) {
    // Acquire: pairs with the copy's release; what it filled in is there.
    const uint32_t seen = word.load(std::memory_order_acquire);
    if (seen == wanted)
      return true;
    if (failed.load(std::memory_order_acquire) != 0 || monotonic_ns() - began_ns > limit_ns)
      return false;
    const timespec slice{0, static_cast<long>(kSliceNs)};
    ::syscall(SYS_futex, &word, FUTEX_WAIT, seen, &slice, nullptr, 0);
  }
}

} // namespace

CopiedProcess::CopiedProcess(uint32_t pid, const std::string& session_path, const Uuid& trace_uuid,
                             RecorderChannel& channel)
    : pages_(kWindowPages) {
  char path[kCopyPathBytes];
  copy_window_path(path, session_path.c_str(), trace_uuid.data());
  path_ = path;
  make_window(pid, trace_uuid);
  const std::string why = window_ == nullptr ? std::strerror(errno) : await_copy(channel);
  ::unlink(path_.c_str()); // whoever serves it has it open
  if (!why.empty()) {
    if (window_ != nullptr)
      ::munmap(static_cast<void*>(window_), kCopyDataOffset);
    if (descriptor_ >= 0)
      ::close(descriptor_);
    throw ScanFailed(ScanFailure::refused, "no copy of it could be made to look at instead (" + why + ")");
  }
  std::string text;
  std::vector<uint8_t> part(kCopyDataBytes);
  for (uint64_t got = part.size(); got == part.size();) {
    got = fetch(CopyRequest::maps, text.size(), part.data(), part.size());
    text.append(reinterpret_cast<const char*>(part.data()), got);
  }
  maps_ = parse_maps(text);
}

void CopiedProcess::make_window(uint32_t pid, const Uuid& trace_uuid) {
  // What a scanner that was killed left behind; nor would a link of somebody else's be followed.
  ::unlink(path_.c_str());
  descriptor_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (descriptor_ < 0 ||
      ::fallocate(descriptor_, 0, 0, static_cast<off_t>(kCopyDataOffset + kCopyDataBytes)) != 0)
    return;
  // One that has given up its user's rights could not open it.
  const std::optional<TaskStatus> status = task_status(pid, pid);
  if (status && status->file_user != ::geteuid() && ::fchown(descriptor_, status->file_user, -1) != 0) {
    // Then it says that it cannot.
  }
  void* const map = ::mmap(nullptr, kCopyDataOffset, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor_, 0);
  if (map == MAP_FAILED)
    return;
  window_ = new (map) CopyWindow{};
  window_->magic = kCopyMagic;
  std::memcpy(window_->uuid, trace_uuid.data(), sizeof window_->uuid);
}

std::string CopiedProcess::await_copy(RecorderChannel& channel) {
  const uint64_t began_ns = monotonic_ns();
  channel.ask_for_copy();
  while (!wait_for(window_->ready, 1, window_->failed, kSliceNs)) {
    if (const uint32_t error = window_->failed.load(std::memory_order_acquire); error != 0)
      return std::string("fork: ") + std::strerror(static_cast<int>(error));
    if (const int error = channel.copy_error(); error != 0)
      return "the process cannot open " + path_ + ": " + std::strerror(error);
    if (monotonic_ns() - began_ns > kForkLimitNs)
      return "it did not answer within " + std::to_string(kForkLimitNs / kMs / 1000) + " s";
  }
  return "";
}

CopiedProcess::~CopiedProcess() {
  window_->kind = CopyRequest::end;
  window_->asked.fetch_add(1, std::memory_order_release);
  ::syscall(SYS_futex, &window_->asked, FUTEX_WAKE, 1, nullptr, nullptr, 0);
  ::munmap(static_cast<void*>(window_), kCopyDataOffset);
  ::close(descriptor_);
}

uint64_t CopiedProcess::ask(CopyRequest kind, uint64_t address, uint64_t bytes) {
  window_->kind = kind;
  window_->address = address;
  window_->bytes = bytes;
  // Release: the request is filled in.
  const uint32_t serial = window_->asked.fetch_add(1, std::memory_order_release) + 1;
  ::syscall(SYS_futex, &window_->asked, FUTEX_WAKE, 1, nullptr, nullptr, 0);
  if (!wait_for(window_->answered, serial, window_->failed, kAnswerLimitNs))
    throw ScanFailed(ScanFailure::gone, "the copy of the process that was looked at has ended");
  return std::min(window_->answered_bytes, bytes);
}

uint64_t CopiedProcess::fetch(CopyRequest kind, uint64_t address, uint8_t* to, uint64_t bytes) {
  uint64_t done = 0;
  while (done < bytes) {
    const uint64_t want = std::min(bytes - done, kCopyDataBytes);
    const uint64_t got = ask(kind, address + (kind == CopyRequest::pages ? done / 8 : done), want);
    if (::pread(descriptor_, to + done, got, static_cast<off_t>(kCopyDataOffset)) !=
        static_cast<ssize_t>(got))
      break;
    done += got;
    if (got < want)
      break;
  }
  return done;
}

bool CopiedProcess::has_page(uint64_t page) {
  return pages_.has_page(page, [this](uint64_t first, std::span<uint64_t> entries) {
    return fetch(CopyRequest::pages, first, reinterpret_cast<uint8_t*>(entries.data()),
                 entries.size_bytes()) /
           sizeof(uint64_t);
  });
}

void CopiedProcess::read(std::span<Piece> pieces) {
  read_by_runs(
      pieces,
      [this](uint64_t at, uint64_t end) {
        // A fork does not copy the tables of pages that come from files: those are there when asked for.
        const MapsEntry* const entry = entry_at(maps_, at);
        const bool all = entry != nullptr && entry->is_file();
        const bool there = all || has_page(at / kPage);
        uint64_t run_end = (at / kPage + 1) * kPage;
        while (run_end < end && (all ? entry->holds(run_end) : has_page(run_end / kPage) == there))
          run_end = (run_end / kPage + 1) * kPage;
        return PageRun{run_end, there};
      },
      [this](uint64_t at, uint8_t* to, uint64_t bytes) { return fetch(CopyRequest::memory, at, to, bytes); });
}

std::vector<ThreadContext> CopiedProcess::contexts() {
  ThreadContext forked;
  forked.tid = forked.own_tid = window_->tid;
  forked.has_registers = true;
  forked.stack_pointer = window_->stack_pointer;
  forked.thread_pointer = window_->thread_pointer;
  forked.words.assign(std::begin(window_->saved_registers), std::end(window_->saved_registers));
  const MapsEntry* const stack = entry_at(maps_, forked.stack_pointer);
  main_tid_ = stack != nullptr && stack->path == "[stack]" ? forked.tid : 0;
  std::vector<ThreadContext> found = {forked};
  add_other_threads(found);
  return found;
}

void CopiedProcess::add_other_threads(std::vector<ThreadContext>& found) {
  for (const MapsEntry& entry : maps_) {
    if (!entry.readable || !entry.writable || entry.is_file())
      continue;
    const uint64_t bytes = std::min(entry.end - entry.start, kDescriptorWithin);
    std::vector<uint64_t> words(bytes / 8);
    const uint64_t from = entry.end - bytes;
    Piece piece{from, {reinterpret_cast<uint8_t*>(words.data()), bytes}};
    read({&piece, 1});
    const auto word = [&](uint64_t offset) { return offset / 8 < words.size() ? words[offset / 8] : 0; };
    for (uint64_t at = 0; at < piece.read_bytes; at += kDescriptorAlignment) {
      const uint64_t tid = word(at + kTidOffset) & 0xffffffff;
      if (word(at) != from + at || word(at + kSelfOffset) != from + at || tid == 0 || tid == found[0].tid)
        continue;
      ThreadContext thread;
      thread.tid = thread.own_tid = static_cast<uint32_t>(tid);
      thread.stack_pointer = entry.start;
      thread.thread_pointer = from + at;
      // The main thread's descriptor stands alone; its stack is known by name.
      for (const MapsEntry& other : maps_)
        if (other.path == "[stack]" && (&entry == &maps_[0] || (&entry)[-1].readable))
          thread.stack_pointer = other.start;
      found.push_back(std::move(thread));
    }
  }
}

} // namespace hl
