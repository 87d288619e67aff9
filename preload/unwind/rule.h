// How to get from one frame to its caller at one pc, in 16 bytes.
//
// Nearly every pc of compiled code needs no more than this: the CFA is a register plus a constant, the return
// address lies just below the CFA, and saved registers lie in 8-byte slots below it. What does not fit is
// `complex`: the walker then evaluates the call frame information itself each time (signal frames, PLT
// entries, a CFA by any other register, registers saved elsewhere). Nothing is approximated to make it fit.
#pragma once

#include <stdint.h>

#include "unwind/entry_registers.h"

namespace hl {

enum class RuleKind : uint8_t {
  complex = 0,       // evaluate the CFI at each use
  cfa_rsp = 1,       // CFA = rsp + cfa_offset
  cfa_rbp = 2,       // CFA = rbp + cfa_offset
  cfa_at_rbp = 3,    // CFA = *(rbp + cfa_offset), caller's rbp = *rbp: realigned stacks. saved[] is not set
  frame_pointer = 4, // no CFI: CFA = rbp + 16, caller's rbp = *rbp, a guess
  outermost = 5,     // the return address is undefined: the walk is complete
};

// Callee-saved registers in the order of Rule::saved.
enum SavedIndex : uint8_t { kSavedRbx, kSavedRbp, kSavedR12, kSavedR13, kSavedR14, kSavedR15, kSavedCount };
inline constexpr uint8_t kSavedDwarf[kSavedCount] = {kRbx, kRbp, kR12, kR13, kR14, kR15};

struct Rule {
  int32_t cfa_offset;
  RuleKind kind;
  uint8_t reserved;
  uint8_t saved[kSavedCount]; // caller's value is at CFA - 8 * saved; 0: the register was not touched
  uint32_t module;            // module instance id of the pc, 0 = none
};
static_assert(sizeof(Rule) == 16);

} // namespace hl
