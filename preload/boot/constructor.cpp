// Our constructor and what runs at exit. The recording itself may have begun before (see attach.h); here is
// what must wait until libc is up: loading the reference unwinder, the handler that tells the end.
#include "boot/attach.h"
#include "boot/fatal_signals.h"
#include "boot/launch.h"
#include "boot/own_environment.h"
#include "boot/symbol_lookup.h"
#include "emit/extended_events.h"
#include "platform/syscalls.h"
#include "runtime/leak_request.h"
#include "runtime/process.h"
#include "runtime/stack_capture.h"

namespace hl {

namespace {

// Registered from a constructor and, unlike atexit's, for no library, it runs after the destructors of all
// libraries: what they free is freed by then. Of the handlers of that kind on_exit's is told the status:
// returning from main goes past our hook of exit().
void at_exit(int status, void*) {
  SessionProcess* const slot = g_process.slot;
  if (slot == nullptr || slot->pid != sys::process_id())
    return;
  if (g_process.exit_recorded_in != g_process.generation) {
    record_exit_event(ExitKind::exit, status, nullptr,
                      reinterpret_cast<uint64_t>(__builtin_frame_address(0)));
  }
  // Its handler of SIGABRT may have left by longjmp: that was not the end, and this is.
  if (g_process.end_scan_cause == ScanCause::abort)
    g_process.end_scan_of.store(0, std::memory_order_relaxed);
  scan_before_end(ScanCause::exit);
  slot->state.store(static_cast<uint32_t>(ProcessState::ending), std::memory_order_release);
}

[[gnu::constructor(101)]] void start() {
  if (!attach_now()) {
    // A child of a program whose children are not to be followed.
    if ((g_process.flags & kSessionNoFollow) != 0)
      leave_environment();
    return;
  }
  announce_session();
  start_reference_unwinder();
  using OnExit = int(void (*)(int, void*), void*);
  if (auto* const on_exit = reinterpret_cast<OnExit*>(find_glibc_symbol("on_exit").address))
    on_exit(at_exit, nullptr);
  watch_fatal_signals();
}

} // namespace

} // namespace hl
