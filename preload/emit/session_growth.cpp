// See session_growth.h.
#include "emit/session_growth.h"

#include "platform/syscalls.h"

namespace hl {

bool grow_session(SessionView& view) {
  constexpr uint32_t kStep = 512; // blocks: 16 MiB
  SessionHeader* const header = view.header();
  uint32_t available = header->blocks_available.load(std::memory_order_acquire);
  if (available + kStep > kMaxBlocks)
    return false;
  const int fd = sys::open_file(header->path, O_RDWR);
  if (fd < 0)
    return false;
  // fallocate, not ftruncate: a sparse file on a full disk would mean SIGBUS later.
  const bool allocated = sys::allocate_file(fd, block_offset(available), uint64_t{kStep} * kBlockBytes);
  sys::close_file(fd);
  if (!allocated)
    return false;
  // Release: the space exists before its blocks can be taken. A loser of the race allocated the same range.
  header->blocks_available.compare_exchange_strong(available, available + kStep, std::memory_order_acq_rel);
  return true;
}

} // namespace hl
