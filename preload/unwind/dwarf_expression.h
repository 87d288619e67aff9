// DWARF expressions as call frame information uses them (DW_CFA_def_cfa_expression, DW_CFA_expression,
// DW_CFA_val_expression): PLT entries, realigned stacks, signal trampolines.
//
// Memory is read through the caller's reader, which must refuse what cannot be read: an expression is data,
// and a damaged one may name any address.
#pragma once

#include <stdint.h>

#include "unwind/entry_registers.h"

namespace hl {

// The registers of one frame; a register that is not `known` was not recovered, and its use fails.
struct FrameRegisters {
  uint64_t value[kDwarfRegisters] = {};
  uint32_t known = 0;

  void set(unsigned number, uint64_t v) {
    value[number] = v;
    known |= 1u << number;
  }
  void forget(unsigned number) { known &= ~(1u << number); }
  bool has(unsigned number) const { return (known >> number) & 1; }
};

// Reads `bytes` (1, 2, 4 or 8) at `address` into value, zero-extended; false if it may not.
struct MemoryReader {
  bool (*read)(void* context, uint64_t address, unsigned bytes, uint64_t& value);
  void* context;
  bool operator()(uint64_t address, unsigned bytes, uint64_t& value) const {
    return read(context, address, bytes, value);
  }
};

// Evaluates the bytes [begin, begin + bytes). `initial`, if given, is pushed first (the CFA, for register
// rules). False: damaged, an unknown operation, an unknown register, or memory that cannot be read.
bool evaluate_expression(uint64_t begin, uint32_t bytes, const FrameRegisters& registers, MemoryReader memory,
                         const uint64_t* initial, uint64_t& result);

} // namespace hl
