// Names of variables: which object of a module's symbol table an address lies in. For saying which global
// holds a block; stripped modules name exported variables only.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "symbols/module_files.h"

namespace hl {

class DataSymbols {
 public:
  // Reads the symbols of a module; the files are kept open for their names.
  DataSymbols(const ModuleInfo& info, const FileSearch& search);

  // The demangled name of the variable around an ELF address, with "+offset" behind it where the address is
  // not its start; empty: none is known.
  std::string name_at(uint64_t address) const;

 private:
  struct Variable {
    uint64_t address, size;
    std::string_view name;
  };
  void add_symbols(const ElfFile& elf);

  ModuleFiles files_;
  std::vector<Variable> variables_; // sorted by address
};

} // namespace hl
