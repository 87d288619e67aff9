// What a shared library on disk defines for others and needs from them, by symbol name.
//
// Reads the hash table that the dynamic linker would use, so section headers may be stripped. Any byte of the
// file may be wrong: every offset is checked, every chain bounded by the table it is in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <elf.h>

namespace hl {

class ElfSymbols {
 public:
  // Not an x86-64 ELF file with dynamic symbols: everything below answers no.
  explicit ElfSymbols(const std::string& path);
  ~ElfSymbols();
  ElfSymbols(const ElfSymbols&) = delete;
  ElfSymbols& operator=(const ElfSymbols&) = delete;

  bool defines(const char* name) const { return mentions(name, true); }
  bool imports(const char* name) const { return mentions(name, false); }
  // The program interpreter; "" for a library or a static program.
  std::string interpreter() const;

 private:
  // `count` items of T at a file offset, or at the address they will be loaded to; nullptr if they are not
  // all there.
  template <typename T> const T* at_offset(uint64_t offset, uint64_t count = 1) const;
  template <typename T> const T* at_address(uint64_t address, uint64_t count = 1) const;
  bool mentions(const char* name, bool defined) const;
  bool read_dynamic();

  const unsigned char* bytes_ = nullptr;
  size_t size_ = 0;
  const Elf64_Ehdr* header_ = nullptr;
  const Elf64_Phdr* segments_ = nullptr;
  uint64_t symbols_ = 0, strings_ = 0, strings_size_ = 0; // addresses
  uint64_t symbol_count_ = 0;
};

} // namespace hl
