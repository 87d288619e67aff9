// Recording for operator new and delete: see operator_interface.h.
#include "interpose/operator_interface.h"

#include "boot/bootstrap_heap.h"
#include "emit/heap_events.h"

using namespace hl;

#define HL_OFFERED extern "C" [[gnu::visibility("default")]]

HL_OFFERED BeforeNew heapledger_private_before_new;
HL_OFFERED AfterNew heapledger_private_after_new;
HL_OFFERED BeforeDelete heapledger_private_before_delete;
HL_OFFERED AfterDelete heapledger_private_after_delete;

uint64_t heapledger_private_before_new() {
  return NestedAllocations::count_now();
}

void heapledger_private_after_new(uint64_t before, void* p, size_t size, size_t alignment, bool from_heap,
                                  const EntryRegisters* caller) {
  if (is_bootstrap(p) || NestedAllocations(before).covers(p))
    return;
  const EventKind kind = alignment != 0 ? EventKind::aligned : EventKind::malloc;
  record_allocation(kind, p, size, alignment, *caller,
                    [=](const EventWriter& w) { return from_heap ? usable_size(w, p, size) : size; });
}

void heapledger_private_before_delete(void* p, const EntryRegisters* caller, Deletion* outer) {
  if (!is_bootstrap(p))
    record_free(p, *caller);
  ThreadState* const t = t_local.state;
  if (t == nullptr)
    return;
  *outer = begin_deletion(*t, p, *caller);
}

void heapledger_private_after_delete(const Deletion* outer) {
  if (ThreadState* const t = t_local.state)
    t->deletion = *outer;
}
