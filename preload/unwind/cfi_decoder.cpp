// Call frame information: CIE and FDE records, the .eh_frame_hdr search table, and the CFA program.
// Sources: DWARF 5 section 6.4, LSB 5 "Exception Frames", x86-64 psABI table 3.36.
#include "unwind/cfi_decoder.h"

#include "unwind/byte_reader.h"

namespace hl {
namespace {

enum PointerEncoding : uint8_t {
  kAbsolute = 0x00,
  kUleb = 0x01,
  kUdata2 = 0x02,
  kUdata4 = 0x03,
  kUdata8 = 0x04,
  kSleb = 0x09,
  kSdata2 = 0x0a,
  kSdata4 = 0x0b,
  kSdata8 = 0x0c,
  kPcRelative = 0x10,
  kDataRelative = 0x30,
  kIndirect = 0x80,
  kOmit = 0xff,
};
constexpr uint8_t kHdrTableEncoding = kDataRelative | kSdata4;

struct Cie {
  uint64_t code_alignment = 1;
  int64_t data_alignment = 1;
  uint64_t program_start = 0, program_end = 0;
  uint8_t pointer_encoding = kAbsolute;
  uint8_t return_register = kReturnAddress;
  bool has_augmentation_data = false;
  bool is_signal_frame = false;
};

struct Fde {
  Cie cie;
  uint64_t start = 0, end = 0;
  uint64_t program_start = 0, program_end = 0;
};

// One record of .eh_frame: [body, end), `id` is the CIE id field (0: a CIE), `id_at` its address.
struct Record {
  uint64_t id = 0, id_at = 0, body = 0, end = 0;
  bool terminator = false;
};

bool read_record(const CfiSection& section, uint64_t at, Record& record) {
  if (at < section.segment_start || at >= section.segment_end)
    return false;
  ByteReader r(at, section.segment_end);
  uint64_t length = r.read<uint32_t>();
  if (!r.ok())
    return false;
  if (length == 0) {
    record.terminator = true;
    record.end = r.position();
    return true;
  }
  const bool is_64bit = length == 0xffffffff;
  if (is_64bit)
    length = r.read<uint64_t>();
  if (!r.ok() || length > r.remaining())
    return false;
  record.terminator = false;
  record.end = r.position() + length;
  record.id_at = r.position();
  // In .eh_frame the id stays four bytes wide even with a 64-bit length, as gcc, lld and libgcc have it.
  record.id = r.read<uint32_t>();
  record.body = r.position();
  return r.ok() && record.body <= record.end;
}

bool parse_cie(const CfiSection& section, uint64_t at, Cie& cie) {
  Record record;
  if (!read_record(section, at, record) || record.terminator || record.id != 0)
    return false;
  ByteReader r(record.body, record.end);
  const uint8_t version = r.u8();
  if (version != 1 && version != 3 && version != 4)
    return false;
  char augmentation[16];
  unsigned n = 0;
  for (;;) {
    const char c = static_cast<char>(r.u8());
    if (n == sizeof augmentation || !r.ok())
      return false;
    augmentation[n++] = c;
    if (c == 0)
      break;
  }
  if (augmentation[0] == 'e' && augmentation[1] == 'h')
    return false; // gcc 2: no such code is left
  if (version == 4) {
    if (r.u8() != 8 || r.u8() != 0)
      return false; // address size, segment selector size
  }
  cie.code_alignment = r.uleb();
  cie.data_alignment = r.sleb();
  const uint64_t return_register = version == 1 ? r.u8() : r.uleb();
  if (return_register >= kDwarfRegisters)
    return false;
  cie.return_register = static_cast<uint8_t>(return_register);
  uint64_t augmentation_end = 0;
  for (unsigned i = 0; i < n && augmentation[i]; ++i) {
    switch (augmentation[i]) {
    case 'z': {
      if (i != 0)
        return false;
      const uint64_t bytes = r.uleb();
      if (bytes > r.remaining())
        return false;
      augmentation_end = r.position() + bytes;
      cie.has_augmentation_data = true;
      break;
    }
    case 'R':
      cie.pointer_encoding = r.u8();
      break;
    case 'L':
      r.u8();
      break;
    case 'P': {
      const uint8_t encoding = r.u8();
      read_encoded_pointer(r, static_cast<uint8_t>(encoding & ~kIndirect), section.eh_frame_hdr);
      break;
    }
    case 'S':
      cie.is_signal_frame = true;
      break;
    case 'B': // aarch64 pointer authentication key B: no operand
      break;
    default:
      // An unknown letter may have operands of unknown size: known ones end here, 'z' says where data ends.
      if (!cie.has_augmentation_data)
        return false;
      i = n;
    }
  }
  if (!r.ok())
    return false;
  if (cie.has_augmentation_data) {
    if (r.position() > augmentation_end)
      return false;
    cie.program_start = augmentation_end;
  } else {
    cie.program_start = r.position();
  }
  cie.program_end = record.end;
  return true;
}

// False: not an FDE, or unreadable.
bool parse_fde(const CfiSection& section, uint64_t at, Fde& fde) {
  Record record;
  if (!read_record(section, at, record) || record.terminator || record.id == 0)
    return false;
  if (record.id > record.id_at)
    return false;
  if (!parse_cie(section, record.id_at - record.id, fde.cie))
    return false;
  ByteReader r(record.body, record.end);
  fde.start = read_encoded_pointer(r, fde.cie.pointer_encoding, section.eh_frame_hdr);
  // The length has the same format, but is never relative.
  const uint64_t length = read_encoded_pointer(r, fde.cie.pointer_encoding & 0x0f, 0);
  if (!r.ok())
    return false;
  fde.end = fde.start + length;
  if (fde.cie.has_augmentation_data)
    r.skip(r.uleb());
  if (!r.ok() || fde.end < fde.start)
    return false;
  fde.program_start = r.position();
  fde.program_end = record.end;
  return true;
}

enum class Search : uint8_t { found, none, damaged };

Search find_by_scan(const CfiSection& section, uint64_t at, uint64_t pc, Fde& fde) {
  for (;;) {
    Record record;
    if (!read_record(section, at, record))
      return Search::damaged;
    if (record.terminator)
      return Search::none;
    if (record.id != 0 && parse_fde(section, at, fde) && pc >= fde.start && pc < fde.end)
      return Search::found;
    if (record.end <= at)
      return Search::damaged;
    at = record.end;
    if (at >= section.segment_end)
      return Search::none;
  }
}

Search find_fde(const CfiSection& section, uint64_t pc, Fde& fde) {
  if (section.eh_frame_hdr < section.segment_start || section.eh_frame_hdr >= section.segment_end)
    return Search::none;
  ByteReader r(section.eh_frame_hdr, section.segment_end);
  const uint8_t version = r.u8();
  const uint8_t frame_encoding = r.u8();
  const uint8_t count_encoding = r.u8();
  const uint8_t table_encoding = r.u8();
  if (version != 1 || frame_encoding == kOmit)
    return Search::damaged;
  const uint64_t eh_frame = read_encoded_pointer(r, frame_encoding, section.eh_frame_hdr);
  if (!r.ok())
    return Search::damaged;
  if (count_encoding == kOmit || table_encoding != kHdrTableEncoding)
    return find_by_scan(section, eh_frame, pc, fde);
  const uint64_t count = read_encoded_pointer(r, count_encoding, section.eh_frame_hdr);
  if (!r.ok() || count > r.remaining() / 8)
    return Search::damaged;
  const uint64_t table = r.position();
  struct Entry {
    int32_t start, fde;
  };
  const auto entry_at = [&](uint64_t index) {
    ByteReader e(table + 8 * index, section.segment_end);
    return e.read<Entry>();
  };
  // The last entry whose start is not above pc. Starts are signed distances from the header.
  const int64_t distance = static_cast<int64_t>(pc - section.eh_frame_hdr);
  uint64_t low = 0, high = count;
  while (low < high) {
    const uint64_t middle = low + (high - low) / 2;
    if (entry_at(middle).start <= distance)
      low = middle + 1;
    else
      high = middle;
  }
  if (low == 0)
    return Search::none;
  const uint64_t at = section.eh_frame_hdr + static_cast<uint64_t>(int64_t{entry_at(low - 1).fde});
  if (!parse_fde(section, at, fde))
    return Search::damaged;
  return pc >= fde.start && pc < fde.end ? Search::found : Search::none;
}

// Runs CFA instructions up to and including those for `pc`. `frame.initial` must hold the CIE's row already
// when an FDE's program runs (DW_CFA_restore refers to it).
class CfaProgram {
 public:
  CfaProgram(const Cie& cie, CfiFrame& frame, uint64_t location, uint64_t pc, uint64_t data_base)
      : cie_(cie), frame_(frame), location_(location), pc_(pc), data_base_(data_base) {}

  bool run(uint64_t begin, uint64_t end);

 private:
  RegisterRule* column(uint64_t number) {
    // Registers above 16 (vector, segment, status) never matter to a walk: their rules are read and dropped.
    return number < kDwarfRegisters ? &frame_.row.registers[number] : &ignored_;
  }
  static void set(RegisterRule* rule, RegisterRule::Kind kind, int64_t value, uint32_t bytes = 0) {
    rule->kind = kind;
    rule->value = value;
    rule->expression_bytes = bytes;
  }
  void restore(uint64_t number) {
    if (number < kDwarfRegisters)
      frame_.row.registers[number] = frame_.initial.registers[number];
  }
  bool set_cfa_register(uint64_t number) {
    if (number >= kDwarfRegisters)
      return false;
    frame_.row.cfa_is_expression = false;
    frame_.row.cfa_register = static_cast<uint8_t>(number);
    return true;
  }
  void expression(ByteReader& r, RegisterRule* rule, RegisterRule::Kind kind) {
    const uint64_t bytes = r.uleb();
    const uint64_t at = r.position();
    r.skip(bytes);
    if (r.ok())
      set(rule, kind, static_cast<int64_t>(at), static_cast<uint32_t>(bytes));
  }
  bool extended(ByteReader& r, uint8_t op);

  const Cie& cie_;
  CfiFrame& frame_;
  uint64_t location_, pc_, data_base_;
  unsigned remembered_ = 0;
  RegisterRule ignored_;
};

bool CfaProgram::run(uint64_t begin, uint64_t end) {
  ByteReader r(begin, end);
  while (!r.at_end() && location_ <= pc_) {
    const uint8_t op = r.u8();
    const uint8_t low = op & 0x3f;
    switch (op >> 6) {
    case 1: // advance_loc
      location_ += low * cie_.code_alignment;
      break;
    case 2: // offset
      set(column(low), RegisterRule::offset,
          static_cast<int64_t>(r.uleb() * static_cast<uint64_t>(cie_.data_alignment)));
      break;
    case 3: // restore
      restore(low);
      break;
    default:
      if (!extended(r, op))
        return false;
    }
  }
  return r.ok();
}

bool CfaProgram::extended(ByteReader& r, uint8_t op) {
  CfiRow& row = frame_.row;
  const auto factored = [&](uint64_t v) {
    return static_cast<int64_t>(v * static_cast<uint64_t>(cie_.data_alignment));
  };
  switch (op) {
  case 0x00: // nop
    return true;
  case 0x01: // set_loc
    location_ = read_encoded_pointer(r, cie_.pointer_encoding, data_base_);
    return true;
  case 0x02: // advance_loc1
    location_ += r.u8() * cie_.code_alignment;
    return true;
  case 0x03: // advance_loc2
    location_ += r.read<uint16_t>() * cie_.code_alignment;
    return true;
  case 0x04: // advance_loc4
    location_ += r.read<uint32_t>() * cie_.code_alignment;
    return true;
  case 0x05: { // offset_extended
    RegisterRule* rule = column(r.uleb());
    set(rule, RegisterRule::offset, factored(r.uleb()));
    return true;
  }
  case 0x06: // restore_extended
    restore(r.uleb());
    return true;
  case 0x07: // undefined
    set(column(r.uleb()), RegisterRule::undefined, 0);
    return true;
  case 0x08: // same_value
    set(column(r.uleb()), RegisterRule::same, 0);
    return true;
  case 0x09: { // register
    RegisterRule* rule = column(r.uleb());
    const uint64_t from = r.uleb();
    if (from >= kDwarfRegisters)
      return false;
    set(rule, RegisterRule::in_register, static_cast<int64_t>(from));
    return true;
  }
  case 0x0a: // remember_state
    if (remembered_ == CfiFrame::kRememberDepth)
      return false;
    frame_.remembered[remembered_++] = row;
    return true;
  case 0x0b: // restore_state
    if (remembered_ == 0)
      return false;
    row = frame_.remembered[--remembered_];
    return true;
  case 0x0c: { // def_cfa
    const uint64_t number = r.uleb();
    row.cfa_value = static_cast<int64_t>(r.uleb());
    return set_cfa_register(number);
  }
  case 0x0d: // def_cfa_register
    if (row.cfa_is_expression)
      return false;
    return set_cfa_register(r.uleb());
  case 0x0e: // def_cfa_offset
    if (row.cfa_is_expression)
      return false;
    row.cfa_value = static_cast<int64_t>(r.uleb());
    return true;
  case 0x0f: { // def_cfa_expression
    const uint64_t bytes = r.uleb();
    row.cfa_value = static_cast<int64_t>(r.position());
    row.cfa_expression_bytes = static_cast<uint32_t>(bytes);
    row.cfa_is_expression = true;
    r.skip(bytes);
    return true;
  }
  case 0x10: { // expression
    RegisterRule* rule = column(r.uleb());
    expression(r, rule, RegisterRule::expression);
    return true;
  }
  case 0x11: { // offset_extended_sf
    RegisterRule* rule = column(r.uleb());
    set(rule, RegisterRule::offset, factored(static_cast<uint64_t>(r.sleb())));
    return true;
  }
  case 0x12: { // def_cfa_sf
    const uint64_t number = r.uleb();
    row.cfa_value = factored(static_cast<uint64_t>(r.sleb()));
    return set_cfa_register(number);
  }
  case 0x13: // def_cfa_offset_sf
    if (row.cfa_is_expression)
      return false;
    row.cfa_value = factored(static_cast<uint64_t>(r.sleb()));
    return true;
  case 0x14: { // val_offset
    RegisterRule* rule = column(r.uleb());
    set(rule, RegisterRule::val_offset, factored(r.uleb()));
    return true;
  }
  case 0x15: { // val_offset_sf
    RegisterRule* rule = column(r.uleb());
    set(rule, RegisterRule::val_offset, factored(static_cast<uint64_t>(r.sleb())));
    return true;
  }
  case 0x16: { // val_expression
    RegisterRule* rule = column(r.uleb());
    expression(r, rule, RegisterRule::val_expression);
    return true;
  }
  case 0x2e: // GNU_args_size: how much a landing pad pops; of no use to a walk
    r.uleb();
    return true;
  case 0x2f: { // GNU_negative_offset_extended
    RegisterRule* rule = column(r.uleb());
    set(rule, RegisterRule::offset, -factored(r.uleb()));
    return true;
  }
  default:
    return false;
  }
}

} // namespace

uint64_t read_encoded_pointer(ByteReader& r, uint8_t encoding, uint64_t data_base) {
  if (encoding == kOmit || (encoding & kIndirect)) {
    r.fail();
    return 0;
  }
  const uint64_t at = r.position();
  uint64_t value = 0;
  switch (encoding & 0x0f) {
  case kAbsolute:
  case kUdata8:
  case kSdata8:
    value = r.read<uint64_t>();
    break;
  case kUleb:
    value = r.uleb();
    break;
  case kSleb:
    value = static_cast<uint64_t>(r.sleb());
    break;
  case kUdata2:
    value = r.read<uint16_t>();
    break;
  case kSdata2:
    value = static_cast<uint64_t>(int64_t{r.read<int16_t>()});
    break;
  case kUdata4:
    value = r.read<uint32_t>();
    break;
  case kSdata4:
    value = static_cast<uint64_t>(int64_t{r.read<int32_t>()});
    break;
  default:
    r.fail();
    return 0;
  }
  switch (encoding & 0x70) {
  case 0:
    return value;
  case kPcRelative:
    return value == 0 ? 0 : value + at;
  case kDataRelative:
    return value + data_base;
  default: // text-relative, function-relative, aligned: not used on x86-64
    r.fail();
    return 0;
  }
}

CfiResult decode_cfi(const CfiSection& section, uint64_t pc, CfiFrame& frame) {
  Fde fde;
  switch (find_fde(section, pc, fde)) {
  case Search::none:
    return CfiResult::no_fde;
  case Search::damaged:
    return CfiResult::damaged;
  case Search::found:
    break;
  }
  frame.row = CfiRow{};
  frame.initial = CfiRow{};
  // A return address column other than 16 would need translating; nothing on x86-64 has one.
  if (fde.cie.return_register != kReturnAddress)
    return CfiResult::damaged;
  if (!CfaProgram(fde.cie, frame, 0, 0, section.eh_frame_hdr).run(fde.cie.program_start, fde.cie.program_end))
    return CfiResult::damaged;
  frame.initial = frame.row;
  if (!CfaProgram(fde.cie, frame, fde.start, pc, section.eh_frame_hdr)
           .run(fde.program_start, fde.program_end))
    return CfiResult::damaged;
  frame.function_start = fde.start;
  frame.function_end = fde.end;
  frame.is_signal_frame = fde.cie.is_signal_frame;
  return CfiResult::found;
}

Rule compact_rule(const CfiFrame& frame) {
  const CfiRow& row = frame.row;
  Rule rule{};
  if (frame.is_signal_frame)
    return rule;
  const RegisterRule& ra = row.registers[kReturnAddress];
  if (ra.kind == RegisterRule::undefined) {
    rule.kind = RuleKind::outermost;
    return rule;
  }
  if (ra.kind != RegisterRule::offset || ra.value != -8)
    return rule;
  const RegisterRule& sp = row.registers[kRsp]; // the caller's rsp is the CFA by definition of the psABI
  if (sp.kind != RegisterRule::same && !(sp.kind == RegisterRule::val_offset && sp.value == 0))
    return rule;

  if (row.cfa_is_expression) {
    // gcc's realigned stack: CFA `DW_OP_breg6 n; DW_OP_deref`, rbp saved at `DW_OP_breg6 0`.
    ByteReader cfa(static_cast<uint64_t>(row.cfa_value),
                   static_cast<uint64_t>(row.cfa_value) + row.cfa_expression_bytes);
    constexpr uint8_t kDeref = 0x06, kBreg6 = 0x76;
    if (cfa.u8() != kBreg6)
      return rule;
    const int64_t offset = cfa.sleb();
    if (cfa.u8() != kDeref || !cfa.at_end() || !cfa.ok() || offset < -4096 || offset > 4096)
      return rule;
    const RegisterRule& bp = row.registers[kRbp];
    if (bp.kind != RegisterRule::expression)
      return rule;
    ByteReader saved(static_cast<uint64_t>(bp.value), static_cast<uint64_t>(bp.value) + bp.expression_bytes);
    if (saved.u8() != kBreg6 || saved.sleb() != 0 || !saved.at_end() || !saved.ok())
      return rule;
    rule.kind = RuleKind::cfa_at_rbp;
    rule.cfa_offset = static_cast<int32_t>(offset);
    return rule;
  }
  if (row.cfa_register != kRsp && row.cfa_register != kRbp)
    return rule;
  if (row.cfa_value < INT32_MIN || row.cfa_value > INT32_MAX)
    return rule;
  for (unsigned i = 0; i < kSavedCount; ++i) {
    const RegisterRule& saved = row.registers[kSavedDwarf[i]];
    if (saved.kind == RegisterRule::same || saved.kind == RegisterRule::undefined)
      continue;
    if (saved.kind != RegisterRule::offset || saved.value >= 0 || saved.value % 8 != 0 ||
        saved.value < -255 * 8)
      return Rule{};
    rule.saved[i] = static_cast<uint8_t>(-saved.value / 8);
  }
  rule.cfa_offset = static_cast<int32_t>(row.cfa_value);
  rule.kind = row.cfa_register == kRsp ? RuleKind::cfa_rsp : RuleKind::cfa_rbp;
  return rule;
}

} // namespace hl
