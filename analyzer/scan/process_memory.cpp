// See process_memory.h.
#include "scan/process_memory.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>

namespace hl {
namespace {

constexpr uint64_t kPage = kScanPageBytes;
constexpr size_t kWindowPages = 2048;

} // namespace

ProcessMemory::ProcessMemory(uint32_t pid, Pages pages, const Patience* patience)
    : pid_(pid), patience_(patience), window_(kWindowPages) {
  if (pages == Pages::touched)
    pagemap_ = ::open(("/proc/" + std::to_string(pid) + "/pagemap").c_str(), O_RDONLY | O_CLOEXEC);
}

ProcessMemory::~ProcessMemory() {
  for (const int fd : {pagemap_, mem_})
    if (fd >= 0)
      ::close(fd);
}

bool ProcessMemory::has_page(uint64_t page) {
  if (pagemap_ < 0)
    return true;
  return window_.has_page(page, [this](uint64_t first, std::span<uint64_t> entries) {
    const ssize_t got =
        ::pread(pagemap_, entries.data(), entries.size_bytes(), static_cast<off_t>(first * sizeof(uint64_t)));
    return got > 0 ? static_cast<size_t>(got) / sizeof(uint64_t) : 0;
  });
}

// Since Linux 6.7 the kernel skips holes by itself, a GiB at a step.
std::optional<uint64_t> ProcessMemory::ask_kernel(uint64_t address, uint64_t end) {
  // As in <linux/fs.h>, which is older here than the kernel may be.
  struct Region {
    uint64_t start, end, categories;
  };
  struct Question {
    uint64_t size, flags, start, end, walk_end, regions, region_count, max_pages;
    uint64_t inverted, all_of, any_of, returned;
  };
  constexpr uint64_t kPresent = 1u << 3, kSwapped = 1u << 4;
  constexpr unsigned long kPagemapScan = _IOWR('f', 16, Question);
  if (pagemap_ < 0 || scan_unknown_)
    return std::nullopt;
  Region region{};
  Question question{};
  question.size = sizeof question;
  question.start = address & ~(kPage - 1);
  question.end = (end + kPage - 1) & ~(kPage - 1);
  question.regions = reinterpret_cast<uint64_t>(&region);
  question.region_count = 1;
  question.max_pages = 1;
  question.any_of = question.returned = kPresent | kSwapped;
  const int found = ::ioctl(pagemap_, kPagemapScan, &question);
  scan_unknown_ = found < 0;
  if (found < 0)
    return std::nullopt;
  return found == 0 ? end : std::clamp(region.start, address, end);
}

uint64_t ProcessMemory::next_data(uint64_t address, uint64_t end) {
  if (address >= end || has_page(address / kPage))
    return std::min(address, end);
  if (const auto found = ask_kernel(address, end))
    return *found;
  while (address < end && !has_page(address / kPage)) {
    if (address % (kPage * kWindowPages) < kPage && patience_ != nullptr)
      patience_->require();
    address = (address / kPage + 1) * kPage;
  }
  return std::min(address, end);
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
  if (patience_ != nullptr)
    patience_->require();
  read_by_runs(
      pieces,
      [this](uint64_t at, uint64_t end) {
        const bool there = has_page(at / kPage);
        uint64_t run_end = at;
        while (run_end < end && has_page(run_end / kPage) == there)
          run_end = (run_end / kPage + 1) * kPage;
        return PageRun{run_end, there};
      },
      [this](uint64_t at, uint8_t* to, uint64_t bytes) { return read_bytes(at, to, bytes); });
}

} // namespace hl
