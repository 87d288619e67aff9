// See data_symbols.h.
#include "symbols/data_symbols.h"

#include <algorithm>
#include <elf.h>

#include "symbols/demangle.h"

namespace hl {

DataSymbols::DataSymbols(const ModuleInfo& info, const FileSearch& search)
    : files_(open_module_files(info, search)) {
  if (files_.object != nullptr)
    add_symbols(*files_.object);
  if (files_.debug != nullptr)
    add_symbols(*files_.debug);
  // The largest around an address first: `cache` rather than an alias of its first member.
  std::sort(variables_.begin(), variables_.end(), [](const Variable& a, const Variable& b) {
    if (a.address != b.address)
      return a.address < b.address;
    return a.size != b.size ? a.size > b.size : a.name < b.name;
  });
}

void DataSymbols::add_symbols(const ElfFile& elf) {
  if (!elf.is_64bit())
    return;
  for (const ElfSection& section : elf.sections()) {
    if ((section.type != SHT_SYMTAB && section.type != SHT_DYNSYM) || section.link >= elf.sections().size())
      continue;
    const Bytes names = elf.raw_data(elf.sections()[section.link]);
    ByteCursor cursor(elf.raw_data(section));
    while (cursor.remaining() >= sizeof(Elf64_Sym)) {
      const uint32_t name = cursor.u32();
      const uint8_t type = cursor.u8() & 0xf;
      cursor.skip(1);
      const uint16_t index = cursor.u16();
      const uint64_t address = cursor.u64(), size = cursor.u64();
      if (type != STT_OBJECT || index == SHN_UNDEF || index == SHN_ABS || size == 0)
        continue;
      const std::string_view text = c_string_at(names, name);
      if (!text.empty())
        variables_.push_back({address, size, text.substr(0, text.find('@', 1))});
    }
  }
}

std::string DataSymbols::name_at(uint64_t address) const {
  auto after = std::upper_bound(variables_.begin(), variables_.end(), address,
                                [](uint64_t a, const Variable& v) { return a < v.address; });
  if (after == variables_.begin())
    return "";
  const uint64_t start = (after - 1)->address;
  const auto first = std::lower_bound(variables_.begin(), after, start,
                                      [](const Variable& v, uint64_t a) { return v.address < a; });
  if (address - start >= first->size)
    return "";
  std::string name = demangle(first->name);
  if (name.empty()) // no C++ name
    name = first->name;
  return address == start ? name : name + "+" + std::to_string(address - start);
}

} // namespace hl
