// Reading and settling of symbols; decoding of PLT entries on x86-64 and AArch64.
#include "symbols/symbol_table.h"

#include <elf.h>

#include <algorithm>
#include <unordered_map>

namespace hl {

struct SymbolTable::Candidate {
  Symbol symbol;
  uint8_t type = 0;
  uint8_t binding = 0;
};

namespace {

struct RawSymbol {
  uint32_t name = 0;
  uint8_t info = 0;
  uint16_t section = 0;
  uint64_t value = 0;
  uint64_t size = 0;
};

RawSymbol read_symbol(ByteCursor& cursor, bool is_64bit) {
  RawSymbol symbol;
  symbol.name = cursor.u32();
  if (is_64bit) {
    symbol.info = cursor.u8();
    cursor.skip(1); // st_other
    symbol.section = cursor.u16();
    symbol.value = cursor.u64();
    symbol.size = cursor.u64();
  } else {
    symbol.value = cursor.u32();
    symbol.size = cursor.u32();
    symbol.info = cursor.u8();
    cursor.skip(1);
    symbol.section = cursor.u16();
  }
  return symbol;
}

uint64_t symbol_entry_bytes(const ElfFile& elf) {
  return elf.is_64bit() ? sizeof(Elf64_Sym) : sizeof(Elf32_Sym);
}

std::string_view without_version(std::string_view name) {
  size_t at = name.find('@');
  return at == 0 ? name : name.substr(0, at);
}

// $x, $d, $a, $t: what the bytes are, on ARM; not functions.
bool is_mapping_symbol(std::string_view name) {
  return name.size() >= 2 && name[0] == '$' && (name.size() == 2 || name[2] == '.');
}

int binding_rank(uint8_t binding) {
  // A weak name is as good as a global one: glibc's public names are often weak aliases of __names.
  return binding == STB_GLOBAL || binding == STB_GNU_UNIQUE || binding == STB_WEAK ? 0 : 1;
}

int type_rank(uint8_t type) {
  return type == STT_NOTYPE ? 1 : 0;
}

// Name of the dynamic symbol each GOT slot is bound to, and the order of .rela.plt.
struct Relocations {
  std::unordered_map<uint64_t, std::string_view> by_slot;
  std::vector<std::string_view> plt_order;
};

Relocations read_relocations(const ElfFile& elf) {
  Relocations result;
  for (const ElfSection& section : elf.sections()) {
    if (section.type != SHT_RELA || (section.flags & SHF_ALLOC) == 0)
      continue;
    if (section.link >= elf.sections().size())
      continue;
    const ElfSection& symbols = elf.sections()[section.link];
    Bytes symbol_bytes = elf.raw_data(symbols);
    Bytes names;
    if (symbols.link < elf.sections().size())
      names = elf.raw_data(elf.sections()[symbols.link]);
    bool is_plt = section.name == ".rela.plt";
    ByteCursor cursor(elf.raw_data(section));
    while (cursor.remaining() >= sizeof(Elf64_Rela)) {
      uint64_t slot = cursor.u64();
      uint64_t info = cursor.u64();
      cursor.skip(8);
      std::string_view name;
      uint64_t index = ELF64_R_SYM(info);
      if (index != 0) {
        ByteCursor entry(symbol_bytes, index * sizeof(Elf64_Sym));
        RawSymbol symbol = read_symbol(entry, true);
        if (!entry.failed())
          name = without_version(c_string_at(names, symbol.name));
      }
      if (is_plt)
        result.plt_order.push_back(name);
      if (!name.empty())
        result.by_slot.emplace(slot, name);
    }
  }
  return result;
}

} // namespace

size_t leading_underscores(std::string_view name) {
  return std::min(name.find_first_not_of('_'), name.size());
}

void SymbolTable::load(const ElfFile* object, const ElfFile* debug) {
  std::vector<Candidate> candidates;
  for (const ElfFile* elf : {object, debug}) {
    if (elf != nullptr && !has_symtab_)
      has_symtab_ = append_symbols(*elf, SHT_SYMTAB, candidates);
  }
  if (object != nullptr) {
    if (!has_symtab_)
      append_symbols(*object, SHT_DYNSYM, candidates);
    append_plt(*object, candidates);
  }
  if (object != nullptr || debug != nullptr)
    settle(candidates, object != nullptr ? *object : *debug);
}

bool SymbolTable::append_symbols(const ElfFile& elf, uint32_t section_type,
                                 std::vector<Candidate>& candidates) const {
  bool found_any = false;
  for (const ElfSection& section : elf.sections()) {
    if (section.type != section_type || section.link >= elf.sections().size())
      continue;
    Bytes names = elf.raw_data(elf.sections()[section.link]);
    ByteCursor cursor(elf.raw_data(section));
    while (cursor.remaining() >= symbol_entry_bytes(elf)) {
      RawSymbol raw = read_symbol(cursor, elf.is_64bit());
      uint8_t type = raw.info & 0xf;
      if (type != STT_FUNC && type != STT_NOTYPE && type != STT_GNU_IFUNC)
        continue;
      if (raw.section == SHN_UNDEF || raw.section == SHN_ABS)
        continue;
      if (elf.machine() == EM_ARM)
        raw.value &= ~uint64_t{1}; // the Thumb bit
      if (!elf.is_code(raw.value))
        continue;
      std::string_view name = without_version(c_string_at(names, raw.name));
      if (name.empty() || is_mapping_symbol(name))
        continue;
      SymbolOrigin origin = section_type == SHT_SYMTAB ? SymbolOrigin::kSymtab : SymbolOrigin::kExported;
      uint64_t size = std::min(raw.size, UINT64_MAX - raw.value);
      candidates.push_back({{name, raw.value, size, origin}, type, static_cast<uint8_t>(raw.info >> 4)});
      found_any = true;
    }
  }
  return found_any;
}

void SymbolTable::append_plt(const ElfFile& elf, std::vector<Candidate>& candidates) const {
  if (!elf.is_64bit() || (elf.machine() != EM_X86_64 && elf.machine() != EM_AARCH64))
    return;
  Relocations relocations;
  bool is_loaded = false;
  for (const ElfSection& section : elf.sections()) {
    if (!section.name.starts_with(".plt") || section.type != SHT_PROGBITS)
      continue;
    if (!is_loaded)
      relocations = read_relocations(elf);
    is_loaded = true;
    Bytes code = elf.raw_data(section);
    bool has_small_entries = section.name == ".plt.got" && section.entry_size == 8;
    uint64_t entry_bytes = has_small_entries ? 8 : 16;
    uint64_t header_bytes = elf.machine() == EM_AARCH64 ? 32 : 0;
    for (uint64_t at = header_bytes; at + entry_bytes <= code.size(); at += entry_bytes) {
      std::string_view name;
      ByteCursor cursor(code, at, at + entry_bytes);
      if (elf.machine() == EM_AARCH64) {
        uint64_t index = (at - header_bytes) / entry_bytes;
        if (index < relocations.plt_order.size())
          name = relocations.plt_order[index];
      } else {
        // [endbr64] [bnd] jmp *slot(%rip), or [endbr64] push $index where the second PLT does the jump.
        uint8_t opcode = cursor.u8();
        if (opcode == 0xf3) {
          cursor.skip(3);
          opcode = cursor.u8();
        }
        if (opcode == 0xf2)
          opcode = cursor.u8();
        if (opcode == 0xff && cursor.u8() == 0x25) {
          auto displacement = static_cast<int32_t>(cursor.u32());
          uint64_t slot = section.address + cursor.position() + static_cast<uint64_t>(int64_t{displacement});
          auto found = relocations.by_slot.find(slot);
          if (found != relocations.by_slot.end())
            name = found->second;
        } else if (opcode == 0x68) {
          uint32_t index = cursor.u32();
          if (index < relocations.plt_order.size())
            name = relocations.plt_order[index];
        }
      }
      if (cursor.failed() || name.empty())
        continue;
      candidates.push_back(
          {{name, section.address + at, entry_bytes, SymbolOrigin::kPlt}, STT_FUNC, STB_LOCAL});
    }
  }
}

void SymbolTable::settle(std::vector<Candidate>& candidates, const ElfFile& elf) {
  std::sort(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) {
    if (a.symbol.address != b.symbol.address)
      return a.symbol.address < b.symbol.address;
    bool a_sized = a.symbol.size != 0;
    bool b_sized = b.symbol.size != 0;
    if (a_sized != b_sized)
      return a_sized;
    if (type_rank(a.type) != type_rank(b.type))
      return type_rank(a.type) < type_rank(b.type);
    if (binding_rank(a.binding) != binding_rank(b.binding)) {
      return binding_rank(a.binding) < binding_rank(b.binding);
    }
    size_t a_underscores = leading_underscores(a.symbol.name);
    size_t b_underscores = leading_underscores(b.symbol.name);
    if (a_underscores != b_underscores)
      return a_underscores < b_underscores;
    if (a.symbol.name.size() != b.symbol.name.size())
      return a.symbol.name.size() < b.symbol.name.size();
    return a.symbol.name < b.symbol.name;
  });
  uint64_t covered_to = 0;
  for (const Candidate& candidate : candidates) {
    const Symbol& symbol = candidate.symbol;
    if (!symbols_.empty() && symbols_.back().address == symbol.address)
      continue;
    // A label without size inside a function is no function.
    if (symbol.size == 0 && symbol.address < covered_to)
      continue;
    covered_to = std::max(covered_to, symbol.address + symbol.size);
    symbols_.push_back(symbol);
  }
  // Without a size: to the next symbol, but not out of the code around it.
  for (size_t i = 0; i < symbols_.size(); ++i) {
    Symbol& symbol = symbols_[i];
    if (symbol.size != 0)
      continue;
    uint64_t end = i + 1 < symbols_.size() ? symbols_[i + 1].address : UINT64_MAX;
    if (const CodeRange* range = elf.code_range_at(symbol.address))
      end = std::min(end, range->end);
    symbol.size = end == UINT64_MAX ? 0 : end - symbol.address;
  }
  uint64_t latest_end = 0;
  for (const Symbol& symbol : symbols_) {
    latest_end = std::max(latest_end, symbol.address + symbol.size);
    latest_ends_.push_back(latest_end);
  }
}

const Symbol* SymbolTable::find(uint64_t address) const {
  auto after = std::upper_bound(symbols_.begin(), symbols_.end(), address,
                                [](uint64_t a, const Symbol& symbol) { return a < symbol.address; });
  for (int tries = 0; after != symbols_.begin() && tries < 64; ++tries) {
    --after;
    if (address < after->address + after->size)
      return &*after;
    if (address >= latest_ends_[static_cast<size_t>(after - symbols_.begin())])
      break;
  }
  return nullptr;
}

} // namespace hl
