// See session_creation.h. The recorder's own creation is preload/recorder/session_file.cpp; this one differs
// in that nobody will ever drain: the file is extended by the shim, and waiting for room would be pointless.
#include "boot/session_creation.h"

#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "boot/text.h"
#include "heapledger/session_layout.h"
#include "platform/clock.h"
#include "platform/file_system_kind.h"
#include "platform/syscalls.h"

namespace hl {

namespace {

constexpr uint32_t kFirstBlocks = 256;

void read_boot_id(uint8_t (&id)[16]) {
  char text[64] = {};
  const int fd = sys::open_file("/proc/sys/kernel/random/boot_id", O_RDONLY);
  if (fd < 0)
    return;
  const long n = sys::read_file(fd, text, sizeof text - 1);
  sys::close_file(fd);
  unsigned digit = 0;
  for (long i = 0; i < n && digit < 32; ++i) {
    const char c = text[i];
    const int value = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    if (value < 0)
      continue;
    id[digit / 2] = static_cast<uint8_t>(id[digit / 2] | value << (digit % 2 == 0 ? 4 : 0));
    ++digit;
  }
}

} // namespace

bool create_recorderless_session(const char* directory, const char* name, char* path, size_t room) {
  Text text(path, room);
  text.add(directory).add("/heapledger-").add(name).add("-").add_number(sys::process_id()).add(".session");
  if (text.truncated() || strlen(path) >= sizeof SessionHeader::path)
    return false;
  const int fd = sys::open_file(path, O_RDWR | O_CREAT | O_EXCL, 0600);
  if (fd < 0)
    return false;
  const uint64_t bytes = block_offset(kFirstBlocks);
  void* const base = sys::unfit_file(fd) == nullptr && sys::allocate_file(fd, 0, bytes)
                         ? sys::map_file(fd, kBlocksOffset, 0)
                         : nullptr;
  sys::close_file(fd);
  if (base == nullptr) {
    sys::raw_syscall(SYS_unlinkat, AT_FDCWD, sys::pointer_arg(path), 0);
    return false;
  }
  SessionHeader* const h = static_cast<SessionHeader*>(base);
  h->version = kSessionVersion;
  h->header_bytes = sizeof *h;
  h->block_bytes = kBlockBytes;
  h->page_bytes = 4096;
  h->flags = kSessionRecorderless;
  h->clock = ClockKind::tsc;
  h->created = read_clock_pair();
  h->logical_clock.store(h->created.ticks, std::memory_order_relaxed);
  read_boot_id(h->boot_id);
  const XXH128_hash_t id =
      XXH3_128bits_withSeed(path, strlen(path), h->created.realtime_ns ^ h->created.ticks);
  memcpy(h->uuid, &id, 16);
  strncpy(h->directory, directory, sizeof h->directory - 1);
  strncpy(h->name, name, sizeof h->name - 1);
  strncpy(h->path, path, sizeof h->path - 1);
  h->blocks_available.store(kFirstBlocks, std::memory_order_release);
  // Release: written last; whoever sees the magic sees the header.
  std::atomic_ref<uint64_t>(h->magic).store(kSessionMagic, std::memory_order_release);
  sys::unmap(base, kBlocksOffset);
  return true;
}

} // namespace hl
