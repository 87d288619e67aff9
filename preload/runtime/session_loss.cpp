// See session_loss.h.
#include "runtime/session_loss.h"

#include "platform/syscalls.h"
#include "runtime/process.h"

namespace hl {

namespace {

constinit std::atomic<char*> g_exposed;
constinit std::atomic<size_t> g_exposed_bytes;

// In this order the in-between states stop recording, too: an event under way finds another word than the one
// it began with.
void stop_recording() {
  g_process.session_lost.store(true, std::memory_order_seq_cst);
  g_process.phase.store(Phase::off, std::memory_order_seq_cst);
  if (g_process.fork_word != nullptr)
    g_process.fork_word->store(kAdopting, std::memory_order_seq_cst);
}

bool replace_exposed(const void* address) {
  char* const start = g_exposed.load(std::memory_order_acquire);
  const size_t bytes = g_exposed_bytes.load(std::memory_order_relaxed);
  if (start == nullptr || reinterpret_cast<uintptr_t>(address) - reinterpret_cast<uintptr_t>(start) >= bytes)
    return false;
  return !sys::failed(sys::raw_syscall(SYS_mmap, sys::pointer_arg(start), static_cast<long>(bytes),
                                       PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
                                       0));
}

} // namespace

bool survive_session_loss(const void* address) {
  if (replace_exposed(address))
    return true;
  if (!g_process.view.covers(address))
    return false;
  stop_recording();
  return g_process.view.replace_by_memory(address);
}

void expose_mapping(void* start, size_t bytes) {
  g_exposed.store(nullptr, std::memory_order_relaxed);
  g_exposed_bytes.store(bytes, std::memory_order_relaxed);
  // Release: pairs with the acquire of a handler, of this thread in practice.
  g_exposed.store(static_cast<char*>(start), std::memory_order_release);
}

bool stop_if_session_lost() {
  if (!g_process.session_lost.load(std::memory_order_seq_cst))
    return false;
  stop_recording();
  return true;
}

} // namespace hl
