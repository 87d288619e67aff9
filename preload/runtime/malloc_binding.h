// Who serves a module's allocations if it is not us. Two ways lead past a preloaded library: a malloc that
// stands before ours in the order of symbol look-up (of the executable itself, or of a library preloaded
// before ours), and a library whose references are bound elsewhere (dlopen with RTLD_DEEPBIND). What goes
// past us is not recorded; a module record says so, once, when the module is first met.
#pragma once

#include "heapledger/session_layout.h"
#include "unwind/module_table.h"

namespace hl {

// Of a module that a stack leads through. Reads relocations of modules alone that were loaded after we
// attached: at start-up nothing can be bound past the global scope. Takes no lock: the module is mapped as
// long as its code runs.
MallocBinding malloc_binding_of(const ModuleInfo& module);

// Registers the module whose malloc stands before ours, if there is one: perhaps no stack ever leads through
// it.
void note_foreign_malloc();

} // namespace hl
