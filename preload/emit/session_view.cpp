// Mapping of the session file: see session_view.h.
#include "emit/session_view.h"

#include "platform/own_memory.h"
#include "platform/syscalls.h"

namespace hl {

namespace {
constexpr uint64_t kWindowBytes = uint64_t{kWindowBlocks} * kBlockBytes;
}

bool SessionView::attach(int fd) {
  char* const base = static_cast<char*>(sys::map_file(fd, kBlocksOffset + kWindowBytes, 0));
  if (base == nullptr)
    return false;
  SessionHeader* const header = reinterpret_cast<SessionHeader*>(base);
  // Acquire: pairs with the creator's release of the magic, written last.
  const uint64_t magic = std::atomic_ref<uint64_t>(header->magic).load(std::memory_order_acquire);
  if (magic != kSessionMagic || header->version != kSessionVersion || header->block_bytes != kBlockBytes) {
    sys::unmap(base, kBlocksOffset + kWindowBytes);
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
  if (!sys::failed(copy))
    window.store(reinterpret_cast<char*>(copy), std::memory_order_release);
  char* const block = base + uint64_t{index % kWindowBlocks} * kBlockBytes;
  const long mapped = sys::raw_syscall(SYS_mmap, sys::pointer_arg(block), kBlockBytes, PROT_READ | PROT_WRITE,
                                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  if (!sys::failed(mapped))
    note_own_memory(block, kBlockBytes);
}

} // namespace hl
