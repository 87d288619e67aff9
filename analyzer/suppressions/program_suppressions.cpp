// See program_suppressions.h. The function is followed in a model of one register, rax, whose value is either
// known or not; whatever the model does not have ends the attempt.
#include "suppressions/program_suppressions.h"

#include <elf.h>

#include <algorithm>
#include <vector>

namespace hl {
namespace {

constexpr std::string_view kFunctionName = "__lsan_default_suppressions";
constexpr uint64_t kMaxTextBytes = 1 << 20;
constexpr int kMaxInstructions = 24;
constexpr int kMaxLoads = 3;

// What of the file is in memory at an address, to the end of its section. Empty for .bss and gaps.
Bytes bytes_at(const ElfFile& file, uint64_t address) {
  for (const ElfSection& section : file.sections()) {
    const bool is_in_memory = (section.flags & SHF_ALLOC) != 0 && (section.flags & SHF_TLS) == 0;
    if (is_in_memory && address >= section.address && address - section.address < section.size) {
      const Bytes data = file.raw_data(section);
      const uint64_t offset = address - section.address;
      return offset < data.size() ? data.subspan(offset) : Bytes{};
    }
  }
  return {};
}

struct DynamicSymbol {
  uint64_t value;
  bool is_defined;
};

std::optional<DynamicSymbol> symbol_at(const ElfFile& file, const ElfSection& table, uint64_t index) {
  ByteCursor cursor(file.raw_data(table), index * sizeof(Elf64_Sym));
  cursor.skip(6); // st_name, st_info, st_other
  const uint16_t section = cursor.u16();
  const uint64_t value = cursor.u64();
  if (cursor.failed())
    return {};
  return DynamicSymbol{value, section != SHN_UNDEF};
}

// What the loader will have put into a word: by a relocation, else what the file has there.
std::optional<uint64_t> word_at(const ElfFile& file, uint64_t address) {
  for (const ElfSection& section : file.sections()) {
    if (section.type != SHT_RELA || (section.flags & SHF_ALLOC) == 0)
      continue;
    ByteCursor cursor(file.raw_data(section));
    while (cursor.remaining() >= sizeof(Elf64_Rela)) {
      const uint64_t offset = cursor.u64();
      const uint64_t info = cursor.u64();
      const uint64_t addend = cursor.u64();
      if (offset != address)
        continue;
      switch (ELF64_R_TYPE(info)) {
      case R_X86_64_RELATIVE:
        return addend;
      case R_X86_64_64:
      case R_X86_64_GLOB_DAT: {
        if (section.link >= file.sections().size())
          return {};
        const auto symbol = symbol_at(file, file.sections()[section.link], ELF64_R_SYM(info));
        if (!symbol || !symbol->is_defined)
          return {};
        return symbol->value + (ELF64_R_TYPE(info) == R_X86_64_64 ? addend : 0);
      }
      default:
        return {};
      }
    }
  }
  // Also the packed relative relocations (.relr.dyn): their addends stay in place.
  ByteCursor cursor(bytes_at(file, address));
  const uint64_t value = cursor.u64();
  return cursor.failed() ? std::nullopt : std::optional(value);
}

// The address that the function at `address` returns, or nothing.
std::optional<uint64_t> returned_address(const ElfFile& file, uint64_t address) {
  std::optional<uint64_t> rax;
  int loads = 0;
  Bytes code = bytes_at(file, address);
  size_t at = 0;
  const auto starts = [&](std::initializer_list<uint8_t> pattern) {
    return code.size() - at >= pattern.size() &&
           std::equal(pattern.begin(), pattern.end(), code.begin() + static_cast<ptrdiff_t>(at));
  };
  const auto number = [&](size_t offset, unsigned width) -> std::optional<uint64_t> {
    ByteCursor cursor(code, at + offset);
    const uint64_t value = cursor.unsigned_of(width);
    return cursor.failed() ? std::nullopt : std::optional(value);
  };
  // Relative to the next instruction, which begins `length` bytes on.
  const auto relative = [&](size_t offset, size_t length) -> std::optional<uint64_t> {
    const auto displacement = number(offset, 4);
    if (!displacement)
      return {};
    const auto distance = static_cast<uint64_t>(int64_t{static_cast<int32_t>(*displacement)});
    return address + at + length + distance;
  };
  const auto load = [&](std::optional<uint64_t> from) -> std::optional<uint64_t> {
    return from && ++loads <= kMaxLoads ? word_at(file, *from) : std::nullopt;
  };
  for (int i = 0; i < kMaxInstructions && at < code.size(); ++i) {
    // NOLINTBEGIN(bugprone-branch-clone): an instruction each
    if (starts({0xf3, 0x0f, 0x1e, 0xfa})) { // endbr64
      at += 4;
    } else if (starts({0x55}) || starts({0x5d}) || starts({0x90}) ||
               starts({0xc9})) { // push/pop rbp, nop, leave
      at += 1;
    } else if (starts({0x48, 0x89, 0xe5})) { // mov rbp, rsp
      at += 3;
    } else if (starts({0x48, 0x83, 0xec}) || starts({0x48, 0x83, 0xc4})) { // sub, add rsp, imm8
      at += 4;
    } else if (starts({0x0f, 0x1f, 0x00})) { // nop
      at += 3;
    } else if (starts({0x0f, 0x1f, 0x40})) {
      at += 4;
    } else if (starts({0x48, 0x8d, 0x05})) { // lea rax, [rip + d32]
      rax = relative(3, 7);
      at += 7;
    } else if (starts({0x48, 0x8b, 0x05})) { // mov rax, [rip + d32]
      rax = load(relative(3, 7));
      if (!rax)
        return {};
      at += 7;
    } else if (starts({0x48, 0x8b, 0x04, 0x25})) { // mov rax, [abs32]
      rax = load(number(4, 4));
      if (!rax)
        return {};
      at += 8;
    } else if (starts({0x48, 0x8b, 0x00})) { // mov rax, [rax]
      rax = load(rax);
      if (!rax)
        return {};
      at += 3;
    } else if (starts({0xb8})) { // mov eax, imm32
      rax = number(1, 4);
      at += 5;
    } else if (starts({0x48, 0xc7, 0xc0})) { // mov rax, imm32, sign extended
      const auto value = number(3, 4);
      if (value)
        rax = static_cast<uint64_t>(int64_t{static_cast<int32_t>(*value)});
      at += 7;
    } else if (starts({0x48, 0xb8})) { // movabs rax, imm64
      rax = number(2, 8);
      at += 10;
    } else if (starts({0x31, 0xc0}) || starts({0x33, 0xc0})) { // xor eax, eax
      rax = 0;
      at += 2;
    } else if (starts({0xc3}) || starts({0xf3, 0xc3})) { // ret
      return rax;
    } else {
      return {};
    }
    // NOLINTEND(bugprone-branch-clone)
  }
  return {};
}

// The function's address, from the exported symbols or else from all. Undefined mentions do not count.
std::optional<uint64_t> function_address(const ElfFile& file) {
  for (const uint32_t wanted : {uint32_t{SHT_DYNSYM}, uint32_t{SHT_SYMTAB}}) {
    for (const ElfSection& section : file.sections()) {
      if (section.type != wanted || section.link >= file.sections().size())
        continue;
      const Bytes names = file.raw_data(file.sections()[section.link]);
      ByteCursor cursor(file.raw_data(section));
      while (cursor.remaining() >= sizeof(Elf64_Sym)) {
        const uint32_t name = cursor.u32();
        const uint8_t info = cursor.u8();
        cursor.skip(1);
        const uint16_t index = cursor.u16();
        const uint64_t value = cursor.u64();
        cursor.skip(8);
        if (ELF64_ST_TYPE(info) != STT_FUNC || index == SHN_UNDEF)
          continue;
        // Most names differ in their first bytes: no need to measure all of them.
        ByteCursor text(names, name);
        const Bytes found = text.bytes(kFunctionName.size() + 1);
        if (!text.failed() && std::equal(kFunctionName.begin(), kFunctionName.end(), found.begin()) &&
            found.back() == 0)
          return value;
      }
    }
  }
  return {};
}

} // namespace

std::optional<ProgramSuppressions> read_program_suppressions(const ElfFile& file) {
  if (!file.is_64bit())
    return {};
  const auto function = function_address(file);
  if (!function)
    return {};
  ProgramSuppressions result;
  if (file.machine() != EM_X86_64) {
    result.problem = "its code is for another architecture than x86-64";
    return result;
  }
  const auto text = returned_address(file, *function);
  if (!text) {
    result.problem = "the function does more than return a constant";
    return result;
  }
  if (*text == 0)
    return result; // LeakSanitizer's own: a null pointer, no suppressions
  const Bytes bytes = bytes_at(file, *text);
  const auto end = std::find(
      bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(std::min<uint64_t>(bytes.size(), kMaxTextBytes)),
      uint8_t{0});
  if (end == bytes.end() || *end != 0) {
    result.problem = "what the function returns is no text in the file";
    return result;
  }
  result.text.assign(bytes.begin(), end);
  return result;
}

} // namespace hl
