// Which files on this machine may speak for a recorded module, and opening them.
//
// The object: SYSROOT/path, then each debug directory (as a tree of paths, as a flat directory, as a
// .build-id tree), then, with a sysroot, this machine's own path. The debug information: the object itself,
// then by build-id in each debug directory and the system's, then by .gnu_debuglink, then unstripped files in
// the debug directories. dwz's common file by .gnu_debugaltlink.
//
// A file is used only if its build-id equals the recorded one. Where the trace recorded none, only the very
// path is believed, and the state says that it is unverified. A debug file found by .gnu_debuglink must have
// the object's build-id, or, if either has none, the CRC-32 that the link names.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "symbols/dwarf_file.h"
#include "symbols/elf_file.h"
#include "symbols/symbol_table.h"
#include "symbols/symbolizer.h"

namespace hl {

struct ModuleFiles {
  ModuleState state;
  std::vector<uint8_t> build_id; // recorded, else the object's; may be empty
  std::unique_ptr<ElfFile> object;
  std::unique_ptr<ElfFile> debug;     // null if the object has its own debug information
  std::unique_ptr<ElfFile> alternate; // dwz's
  std::unique_ptr<DwarfFile> alternate_dwarf;
  std::unique_ptr<DwarfFile> dwarf;
  SymbolTable symbols;

  // Equal fingerprints: the same files, by path, size and time of change.
  uint64_t fingerprint() const;
};

struct FileSearch {
  std::string sysroot;
  std::vector<std::string> debug_dirs;
  std::string system_debug_dir = "/usr/lib/debug";
};

ModuleFiles open_module_files(const ModuleInfo& info, const FileSearch& search);

// The path without " (deleted)"; what heapledger shows as the module's name is its last component.
std::string_view cleaned_module_path(std::string_view path);
std::string_view module_base_name(std::string_view path);

// Lower-case hexadecimal.
std::string build_id_text(const std::vector<uint8_t>& build_id);

} // namespace hl
