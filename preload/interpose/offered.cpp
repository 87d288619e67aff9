// What the shim offers to programs that know of it: include/heapledger/heapledger.h.
#include "emit/extended_events.h"

using namespace hl;

extern "C" [[gnu::visibility("hidden")]] void hl_hook_heapledger_mark(const char* name,
                                                                       const EntryRegisters* caller) {
  ExtendedPayload payload;
  payload.text(name);
  record_extended(ExtendedKind::mark, payload, caller, caller->rsp);
}
