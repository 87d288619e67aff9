// See process_memory.h.
#include "scan/process_memory.h"

#include <fcntl.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include "scan/scan_failed.h"

namespace hl {
namespace {

constexpr uint64_t kPage = 4096;
constexpr uint64_t kSwappedOrPresent = uint64_t{3} << 62; // bits of a pagemap entry

} // namespace

ProcessMemory::ProcessMemory(uint32_t pid, Pages pages, uint64_t deadline_ns)
    : pid_(pid), deadline_ns_(deadline_ns) {
  if (pages == Pages::touched)
    pagemap_ = ::open(("/proc/" + std::to_string(pid) + "/pagemap").c_str(), O_RDONLY | O_CLOEXEC);
  window_.resize(kWindowPages);
}

ProcessMemory::~ProcessMemory() {
  for (const int fd : {pagemap_, mem_})
    if (fd >= 0)
      ::close(fd);
}

bool ProcessMemory::has_page(uint64_t page) {
  if (pagemap_ < 0)
    return true;
  if (page - window_page_ >= kWindowPages) {
    window_page_ = page;
    const ssize_t got =
        ::pread(pagemap_, window_.data(), kWindowPages * 8, static_cast<off_t>(page * sizeof(uint64_t)));
    // Where nothing can be said, reading tells.
    const size_t known = got > 0 ? static_cast<size_t>(got) / 8 : 0;
    std::fill(window_.begin() + static_cast<ptrdiff_t>(known), window_.end(), kSwappedOrPresent);
  }
  return (window_[page - window_page_] & kSwappedOrPresent) != 0;
}

uint64_t ProcessMemory::read_bytes(uint64_t address, uint8_t* to, uint64_t bytes) {
  uint64_t done = 0;
  while (done < bytes && !vm_refused_) {
    const iovec local{to + done, bytes - done};
    const iovec remote{reinterpret_cast<void*>(address + done), bytes - done};
    const ssize_t got = ::process_vm_readv(static_cast<pid_t>(pid_), &local, 1, &remote, 1, 0);
    if (got > 0)
      done += static_cast<uint64_t>(got);
    else if (got < 0 && (errno == EPERM || errno == ENOSYS))
      vm_refused_ = true; // a sandbox may know ptrace and not this
    else if (got < 0 && errno == EINTR)
      continue;
    else
      return done;
  }
  if (done == bytes)
    return done;
  if (mem_ < 0)
    mem_ = ::open(("/proc/" + std::to_string(pid_) + "/mem").c_str(), O_RDONLY | O_CLOEXEC);
  while (mem_ >= 0 && done < bytes) {
    const ssize_t got = ::pread(mem_, to + done, bytes - done, static_cast<off_t>(address + done));
    if (got <= 0)
      break;
    done += static_cast<uint64_t>(got);
  }
  return done;
}

void ProcessMemory::read(std::span<Piece> pieces) {
  if (deadline_ns_ != 0) {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    if (static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec) > deadline_ns_)
      throw ScanFailed(ScanFailure::too_long, "the program stood still for longer than the scan's limit");
  }
  for (Piece& piece : pieces) {
    const uint64_t end = piece.address + piece.to.size();
    uint64_t at = piece.address;
    while (at < end) {
      const bool there = has_page(at / kPage);
      uint64_t run_end = at;
      while (run_end < end && has_page(run_end / kPage) == there)
        run_end = std::min(end, (run_end / kPage + 1) * kPage);
      uint8_t* const to = piece.to.data() + (at - piece.address);
      if (!there) {
        std::memset(to, 0, run_end - at);
        at = run_end;
        continue;
      }
      const uint64_t got = read_bytes(at, to, run_end - at);
      at += got;
      if (at < run_end)
        break;
    }
    piece.read_bytes = at - piece.address;
  }
}

} // namespace hl
