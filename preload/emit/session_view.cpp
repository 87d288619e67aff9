// Mapping of the session file: see session_view.h.
#include "emit/session_view.h"

#include "platform/own_memory.h"
#include "platform/syscalls.h"

namespace hl {

namespace {
constexpr uint64_t kWindowBytes = uint64_t{kWindowBlocks} * kBlockBytes;
constexpr uint64_t kFirstMappingBytes = kBlocksOffset + kWindowBytes;

bool map_zeros(void* at, uint64_t bytes) {
  return !sys::failed(sys::raw_syscall(SYS_mmap, sys::pointer_arg(at), static_cast<long>(bytes),
                                       PROT_READ | PROT_WRITE,
                                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0));
}
} // namespace

bool SessionView::attach(int fd) {
  char* const base = static_cast<char*>(sys::map_file(fd, kFirstMappingBytes, 0));
  if (base == nullptr)
    return false;
  // From here on a touch may be a fault, even this first one.
  base_.store(base, std::memory_order_relaxed);
  SessionHeader* const header = reinterpret_cast<SessionHeader*>(base);
  // Acquire: pairs with the creator's release of the magic, written last.
  const uint64_t magic = std::atomic_ref<uint64_t>(header->magic).load(std::memory_order_acquire);
  if (magic != kSessionMagic || header->version != kSessionVersion || header->block_bytes != kBlockBytes) {
    base_.store(nullptr, std::memory_order_relaxed);
    sys::unmap(base, kFirstMappingBytes);
    return false;
  }
  windows_[0].store(base + kBlocksOffset, std::memory_order_relaxed); // published with header_ by the caller
  header_ = header;
  return true;
}

char* SessionView::map_window(uint32_t window) {
  // The nearest mapped window below; window 0 always is.
  uint32_t from = window;
  char* base = nullptr;
  while (base == nullptr)
    base = windows_[--from].load(std::memory_order_acquire);
  char* const last_block = base + kWindowBytes - kBlockBytes;
  const uint64_t skipped = kBlockBytes + uint64_t{window - from - 1} * kWindowBytes;
  const long result = sys::raw_syscall(SYS_mremap, sys::pointer_arg(last_block), 0,
                                       static_cast<long>(skipped + kWindowBytes), MREMAP_MAYMOVE);
  if (sys::failed(result))
    return nullptr;
  char* const mapped = reinterpret_cast<char*>(result);
  sys::unmap(mapped, skipped);
  char* expected = nullptr;
  // Release: pairs with the acquire in block(). A loser takes the winner's mapping.
  if (!windows_[window].compare_exchange_strong(expected, mapped + skipped, std::memory_order_acq_rel)) {
    sys::unmap(mapped + skipped, kWindowBytes);
    return expected;
  }
  return mapped + skipped;
}

void SessionView::detach_block(uint32_t index) {
  std::atomic<char*>& window = windows_[index / kWindowBlocks];
  char* const base = window.load(std::memory_order_acquire);
  if (base == nullptr)
    return;
  // A second mapping of the window takes its place; the first keeps the writer that is still on its way.
  const long copy = sys::raw_syscall(SYS_mremap, sys::pointer_arg(base), 0, static_cast<long>(kWindowBytes),
                                     MREMAP_MAYMOVE);
  if (!sys::failed(copy)) {
    window.store(reinterpret_cast<char*>(copy), std::memory_order_release);
    for (std::atomic<char*>& left : left_windows_) {
      char* none = nullptr;
      if (left.compare_exchange_strong(none, base, std::memory_order_relaxed))
        break;
    }
  }
  char* const block = base + uint64_t{index % kWindowBlocks} * kBlockBytes;
  const long mapped = sys::raw_syscall(SYS_mmap, sys::pointer_arg(block), kBlockBytes, PROT_READ | PROT_WRITE,
                                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  if (!sys::failed(mapped))
    note_own_memory(block, kBlockBytes);
}

// Calls use(start, bytes) for each mapping until one returns true.
template <typename Use> bool SessionView::any_mapping(const Use& use) const {
  if (char* const base = base_.load(std::memory_order_relaxed);
      base != nullptr && use(base, kFirstMappingBytes))
    return true;
  for (const std::atomic<char*>& window : windows_) {
    char* const start = window.load(std::memory_order_relaxed);
    if (start != nullptr && use(start, kWindowBytes))
      return true;
  }
  for (const std::atomic<char*>& left : left_windows_) {
    char* const start = left.load(std::memory_order_relaxed);
    if (start != nullptr && use(start, kWindowBytes))
      return true;
  }
  return false;
}

bool SessionView::covers(const void* address) const {
  return any_mapping([address](const char* start, uint64_t bytes) {
    return reinterpret_cast<uintptr_t>(address) - reinterpret_cast<uintptr_t>(start) < bytes;
  });
}

void SessionView::unlock() const {
  any_mapping([](const char* start, uint64_t bytes) {
    sys::raw_syscall(SYS_munlock, sys::pointer_arg(start), static_cast<long>(bytes));
    return false;
  });
}

bool SessionView::replace_by_memory(const void* address) {
  bool mapped_there = false;
  any_mapping([&](char* start, uint64_t bytes) {
    const bool is_there = reinterpret_cast<uintptr_t>(address) - reinterpret_cast<uintptr_t>(start) < bytes;
    mapped_there |= map_zeros(start, bytes) && is_there;
    return false;
  });
  constexpr uintptr_t kPage = 4096; // where the process may have no more mappings or locked memory
  return mapped_there ||
         map_zeros(reinterpret_cast<void*>(reinterpret_cast<uintptr_t>(address) & ~(kPage - 1)), kPage);
}

} // namespace hl
