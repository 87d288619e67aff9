// What libheapledger.so offers to libheapledger-new.so, and to nobody else: both are of one build and in one
// directory. Looked up by name at first use, not linked: a library that needs another one fails the program's
// start where that one is missing, a lookup only records nothing.
// Like all recording, none of these allocates, throws or changes errno.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "runtime/deletion.h"
#include "unwind/entry_registers.h"

namespace hl {

// Before a real operator new: what tells afterwards whether a nested hook recorded the block.
using BeforeNew = uint64_t();
// After it returned a block. `from_heap`: of the same library as malloc, whose malloc_usable_size knows it.
using AfterNew = void(uint64_t before, void* p, size_t size, size_t alignment, bool from_heap,
                      const EntryRegisters*);
// Before a real operator delete of a block: records its end and remembers that. `outer`: the deletion of this
// thread that was going on already (a handler interrupted it, or it called another), to be given back
// afterwards.
using BeforeDelete = void(void* p, const EntryRegisters*, Deletion* outer);
using AfterDelete = void(const Deletion* outer);

} // namespace hl
