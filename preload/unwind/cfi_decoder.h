// Call frame information (.eh_frame), decoded for one pc.
//
// Our own, because every ready-made way to it may take a lock that the interrupted code holds
// (dl_iterate_phdr, _Unwind_Find_FDE). Nothing here allocates, locks or calls out; the buffers are the
// caller's and bounded; every byte is read within the mapped segment that was handed in.
#pragma once

#include <stdint.h>

#include "unwind/entry_registers.h"
#include "unwind/rule.h"

namespace hl {

// Where the CFI of one module lies in memory. Addresses are absolute.
struct CfiSection {
  uint64_t eh_frame_hdr = 0;                   // PT_GNU_EH_FRAME
  uint64_t segment_start = 0, segment_end = 0; // readable mapped bytes around eh_frame_hdr and .eh_frame
};

// One register's recovery rule, as DWARF names them.
struct RegisterRule {
  enum Kind : uint8_t { same, undefined, offset, val_offset, in_register, expression, val_expression };
  int64_t value = 0; // offset from the CFA; or register number; or address of the expression's bytes
  uint32_t expression_bytes = 0;
  Kind kind = same;
};
static_assert(sizeof(RegisterRule) == 16);

// All recovery rules at one pc.
struct CfiRow {
  int64_t cfa_value = 0; // offset, or address of the expression's bytes
  uint32_t cfa_expression_bytes = 0;
  bool cfa_is_expression = false;
  uint8_t cfa_register = kRsp;
  RegisterRule registers[kDwarfRegisters];
};

struct CfiFrame {
  CfiRow row;
  uint64_t function_start = 0, function_end = 0;
  bool is_signal_frame = false;
  // Working memory of the decoder; DW_CFA_remember_state nests this deep at most (compilers use one level).
  static constexpr unsigned kRememberDepth = 4;
  CfiRow initial;
  CfiRow remembered[kRememberDepth];
};

enum class CfiResult : uint8_t { found, no_fde, damaged };

// Finds the FDE that covers `pc` and evaluates its program up to `pc` into frame.row. For a return address
// pass the address minus one: the call itself lies there, and the next row may belong to other code.
CfiResult decode_cfi(const CfiSection& section, uint64_t pc, CfiFrame& frame);

// The compact rule, or RuleKind::complex. `module` is left 0.
Rule compact_rule(const CfiFrame& frame);

// A pointer encoded as DW_EH_PE_*. Indirect pointers are refused (fail): no FDE address uses them.
class ByteReader;
uint64_t read_encoded_pointer(ByteReader& reader, uint8_t encoding, uint64_t data_base);

} // namespace hl
