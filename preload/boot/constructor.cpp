// Our constructor and what runs at exit. The recording itself may have begun before (see attach.h); here is
// what must wait until libc is up: loading the reference unwinder, the handler that tells the end.
#include "boot/attach.h"
#include "boot/launch.h"
#include "platform/syscalls.h"
#include "runtime/process.h"
#include "runtime/stack_capture.h"

extern "C" int __cxa_atexit(void (*)(void*), void*, void*);

namespace hl {

namespace {

// Registered without a DSO handle from a constructor, it runs after the destructors of all libraries: what
// they free is freed by then.
void at_exit(void*) {
  SessionProcess* const slot = g_process.slot;
  if (slot == nullptr || slot->pid != sys::process_id()) return;
  slot->state.store(static_cast<uint32_t>(ProcessState::ending), std::memory_order_release);
}

[[gnu::constructor(101)]] void start() {
  if (!attach_now()) return;
  announce_session();
  start_reference_unwinder();
  __cxa_atexit(at_exit, nullptr, nullptr);
}

}  // namespace

}  // namespace hl
