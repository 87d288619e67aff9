// See memory_lock.h.
#include "runtime/memory_lock.h"

#include <string.h>

#include "platform/maps_reader.h"
#include "platform/own_memory.h"
#include "platform/syscalls.h"
#include "runtime/process.h"

// Of this library, from the linker.
extern "C" {
[[gnu::visibility("hidden")]] extern char __bss_start[];
[[gnu::visibility("hidden")]] extern char _end[]; // NOLINT(readability-identifier-naming)
}

namespace hl {

namespace {

constexpr uint64_t kUserEnd = uint64_t{1} << 63; // above are no mappings of the process, but what is in all
constexpr int kOnFault = 1;                      // MLOCK_ONFAULT

// Our library's variables without a value in the file lie in a mapping without its name.
bool is_own_bss(const Mapping& m) {
  const uint64_t start = reinterpret_cast<uintptr_t>(__bss_start), end = reinterpret_cast<uintptr_t>(_end);
  return m.start < end && m.end > start;
}

bool is_counted(const Mapping& m) {
  return m.start < kUserEnd && !g_process.view.covers(reinterpret_cast<const void*>(m.start)) &&
         strstr(m.path, "/libheapledger") == nullptr && !is_own_bss(m) && !is_own_memory(m.start, m.end);
}

} // namespace

bool lock_all_but_own(int flags) {
  rlimit limit{};
  if (sys::failed(sys::raw_syscall(SYS_prlimit64, 0, RLIMIT_MEMLOCK, 0, sys::pointer_arg(&limit))))
    return false;
  Mapping m;
  uint64_t bytes = 0;
  for (MapsReader maps; maps.next(m);)
    bytes += is_counted(m) ? m.end - m.start : 0;
  if (bytes == 0 || bytes > limit.rlim_cur)
    return false;
  // As mlockall, which passes over what cannot be read or locked.
  for (MapsReader maps; maps.next(m);)
    if (is_counted(m))
      sys::raw_syscall(SYS_mlock2, static_cast<long>(m.start), static_cast<long>(m.end - m.start),
                       (flags & MCL_ONFAULT) != 0 ? kOnFault : 0);
  if ((flags & MCL_FUTURE) == 0)
    return true;
  g_future_memory_locked.store(true, std::memory_order_relaxed);
  return !sys::failed(sys::raw_syscall(SYS_mlockall, flags & ~MCL_CURRENT));
}

void unlock_own(int flags) {
  g_future_memory_locked.store((flags & MCL_FUTURE) != 0, std::memory_order_relaxed);
  g_process.view.unlock();
  sys::raw_syscall(SYS_munlock, sys::pointer_arg(__bss_start), _end - __bss_start);
  for (const std::atomic<uint64_t>& entry : g_own_memory)
    if (const uint64_t word = entry.load(std::memory_order_relaxed); word != 0)
      sys::raw_syscall(SYS_munlock, static_cast<long>(own_memory_start(word)),
                       static_cast<long>(own_memory_bytes(word)));
}

} // namespace hl
