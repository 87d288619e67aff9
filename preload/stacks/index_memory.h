// Where the indexes of the stack tree get their memory: private, zeroed, page-aligned, and listed as our own.
#pragma once

#include <stddef.h>

#include "platform/own_memory.h"
#include "platform/syscalls.h"

namespace hl {

struct IndexMemory {
  // nullptr: there is none.
  static void* map(size_t bytes) {
    void* const p = sys::map_anonymous(bytes);
    if (p != nullptr)
      note_own_memory(p, bytes);
    return p;
  }
  static void unmap(void* p, size_t bytes) {
    forget_own_memory(p, bytes);
    sys::unmap(p, bytes);
  }
  // The memory stays mapped and reads as zeros.
  static void clear(void* p, size_t bytes) {
    sys::raw_syscall(SYS_madvise, sys::pointer_arg(p), static_cast<long>(bytes), MADV_DONTNEED);
  }
};

} // namespace hl
