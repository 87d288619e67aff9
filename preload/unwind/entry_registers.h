// The registers a walk starts from, as the entry stub of an interposed function stores them.
//
// The stub runs before any compiled code of ours, so the six callee-saved registers still hold what the
// caller had in them; a compiler may have moved them anywhere by the time a C++ function runs. Offsets are
// fixed because assembly writes this. No caller-saved register is here: at a call site their values are dead.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace hl {

struct EntryRegisters {
  uint64_t rbx, rbp, r12, r13, r14, r15;
  uint64_t rsp; // as it will be after the return to the caller: the CFA of the interposed function
  uint64_t rip; // return address: the innermost recorded frame
};
static_assert(offsetof(EntryRegisters, rbx) == 0 && offsetof(EntryRegisters, rbp) == 8 &&
              offsetof(EntryRegisters, r12) == 16 && offsetof(EntryRegisters, r13) == 24 &&
              offsetof(EntryRegisters, r14) == 32 && offsetof(EntryRegisters, r15) == 40 &&
              offsetof(EntryRegisters, rsp) == 48 && offsetof(EntryRegisters, rip) == 56);

// DWARF numbers of the x86-64 registers that matter here.
enum DwarfRegister : uint8_t {
  kRax = 0,
  kRdx = 1,
  kRcx = 2,
  kRbx = 3,
  kRsi = 4,
  kRdi = 5,
  kRbp = 6,
  kRsp = 7,
  kR8 = 8,
  kR12 = 12,
  kR13 = 13,
  kR14 = 14,
  kR15 = 15,
  kReturnAddress = 16,
};
inline constexpr unsigned kDwarfRegisters = 17;

} // namespace hl
