// What the shim offers to programs that know of it: include/heapledger/heapledger.h.
#include "emit/extended_events.h"
#include "runtime/leak_request.h"

using namespace hl;

#define HL_BODY extern "C" [[gnu::visibility("hidden")]]

namespace {

void record_mark(const char* name, const EntryRegisters& caller) {
  ExtendedPayload payload;
  payload.text(name);
  record_extended(ExtendedKind::mark, payload, &caller, caller.rsp);
}

} // namespace

HL_BODY void hl_hook_heapledger_mark(const char* name, const EntryRegisters* caller) {
  record_mark(name, *caller);
  tell_of_mark();
}

HL_BODY int hl_hook_heapledger_snapshot(const char* name, unsigned flags, const EntryRegisters* caller) {
  constexpr unsigned kWithLeaks = 1; // HEAPLEDGER_LEAKS
  record_mark(name, *caller);
  const bool with_leaks = (flags & kWithLeaks) != 0;
  const bool answered =
      request_at_desk(with_leaks ? kDeskScan : kDeskSample | kDeskStill, ScanCause::program, name);
  return answered || !with_leaks ? 1 : 0;
}

HL_BODY void hl_hook_heapledger_pause(const EntryRegisters* caller) {
  if (g_process.slot == nullptr || g_process.paused.load(std::memory_order_relaxed))
    return;
  record_mark("heapledger: paused", *caller);
  g_process.unrecorded.store(0, std::memory_order_relaxed);
  g_process.paused.store(true, std::memory_order_relaxed);
}

HL_BODY void hl_hook_heapledger_resume(const EntryRegisters* caller) {
  if (!g_process.paused.exchange(false, std::memory_order_relaxed))
    return;
  ExtendedPayload count;
  count.text("allocations while paused");
  count.signed_number(static_cast<int64_t>(g_process.unrecorded.load(std::memory_order_relaxed)));
  record_extended(ExtendedKind::counter, count, caller, caller->rsp);
  record_mark("heapledger: resumed", *caller);
}
