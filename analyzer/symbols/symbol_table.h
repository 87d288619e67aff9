// Names from an ELF file's symbol tables: .symtab if it is there, else the exported names of .dynsym, and
// names for PLT entries from their relocations.
//
// The nearest preceding function symbol counts, but only if its size covers the address: in a stripped
// library most code belongs to no exported function, and naming the nearest one anyway would invent callers.
// Symbols without a size (assembly) reach to the next symbol. Aliases are settled by a fixed rule, so that
// the same build always gives the same names.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "symbols/elf_file.h"

namespace hl {

enum class SymbolOrigin : uint8_t { kSymtab, kExported, kPlt };

struct Symbol {
  std::string_view
      name; // linkage name without version; for PLT entries the callee's. Lives as long as the file
  uint64_t address = 0;
  uint64_t size = 0;
  SymbolOrigin origin = SymbolOrigin::kSymtab;
};

// Public C names have fewer than the internal aliases beside them.
size_t leading_underscores(std::string_view name);

class SymbolTable {
 public:
  // `object` is the module's own file, `debug` its separate debug file; either may be null. Both must outlive
  // the table.
  void load(const ElfFile* object, const ElfFile* debug);
  // The symbol that covers the address, or null.
  const Symbol* find(uint64_t address) const;
  bool has_symtab() const { return has_symtab_; }
  bool empty() const { return symbols_.empty(); }

 private:
  struct Candidate;
  bool append_symbols(const ElfFile& elf, uint32_t section_type, std::vector<Candidate>& candidates) const;
  void append_plt(const ElfFile& elf, std::vector<Candidate>& candidates) const;
  void settle(std::vector<Candidate>& candidates, const ElfFile& elf);

  std::vector<Symbol> symbols_;       // sorted by address, one per address
  std::vector<uint64_t> latest_ends_; // latest end of symbols_[0..i]
  bool has_symtab_ = false;
};

} // namespace hl
