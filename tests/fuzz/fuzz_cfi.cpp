// Fuzzes what reads call frame information inside the application: the FDE search, the CFA programs, the
// compact rule and DWARF expressions. The input is a mapped segment: u16 offset of .eh_frame_hdr in it, u16
// pc relative to it, then the segment's bytes. They lie at the end of a page before one that cannot be read.
#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <initializer_list>

#include "unwind/cfi_decoder.h"
#include "unwind/dwarf_expression.h"

namespace {

using namespace hl;

constexpr size_t kRoom = 1u << 16;

char* segment_end() {
  static char* const end = [] {
    void* at = mmap(nullptr, kRoom + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
      std::abort();
    char* const wall = static_cast<char*>(at) + kRoom;
    mprotect(wall, 4096, PROT_NONE);
    return wall;
  }();
  return end;
}

// Memory of the walked program: any address answers, but for the lowest page.
bool read_anything(void*, uint64_t address, unsigned, uint64_t& value) {
  value = address * 0x9e3779b97f4a7c15u;
  return address >= 4096;
}

void evaluate(int64_t at, uint32_t bytes, const CfiSection& section, const uint64_t* initial) {
  const auto begin = static_cast<uint64_t>(at);
  if (begin < section.segment_start || begin > section.segment_end || bytes > section.segment_end - begin)
    std::abort(); // a row must not name bytes outside of the segment
  FrameRegisters registers;
  for (unsigned i = 0; i < kDwarfRegisters; ++i)
    registers.set(i, 0x7fff00000000 + i * 4096);
  uint64_t result = 0;
  static_cast<void>(evaluate_expression(begin, bytes, registers, {read_anything, nullptr}, initial, result));
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 5 || size - 4 > kRoom)
    return 0;
  const size_t bytes = size - 4;
  char* const begin = segment_end() - bytes;
  std::memcpy(begin, data + 4, bytes);
  CfiSection section;
  section.segment_start = reinterpret_cast<uint64_t>(begin);
  section.segment_end = section.segment_start + bytes;
  section.eh_frame_hdr = section.segment_start + (data[0] | size_t{data[1]} << 8) % bytes;
  const uint64_t first_pc = section.segment_start + (data[2] | uint64_t{data[3]} << 8);
  for (const uint64_t pc : {first_pc, first_pc + 1, section.eh_frame_hdr, ~uint64_t{0}}) {
    CfiFrame frame;
    if (decode_cfi(section, pc, frame) != CfiResult::found)
      continue;
    static_cast<void>(compact_rule(frame));
    const uint64_t cfa = 0x7fffffff0000;
    if (frame.row.cfa_is_expression)
      evaluate(frame.row.cfa_value, frame.row.cfa_expression_bytes, section, nullptr);
    for (const RegisterRule& rule : frame.row.registers)
      if (rule.kind == RegisterRule::expression || rule.kind == RegisterRule::val_expression)
        evaluate(rule.value, rule.expression_bytes, section, &cfa);
  }
  return 0;
}
