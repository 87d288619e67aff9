// One ELF file on disk: sections by name or index, build-id, links to its debug files, ranges of code.
//
// A reader of our own instead of libelf: every access goes through ByteCursor, so a truncated or garbled file
// costs at most its own symbols, the sanitizers see all of it, and both zlib and zstd compressed sections
// work. Little-endian ELF of 32 and 64 bits. The file is mapped, not copied: clean pages the kernel may drop.
// Nothing here knows DWARF, or which file is the right one for a module (module_files.h).
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "symbols/byte_cursor.h"

namespace hl {

struct ElfSection {
  std::string_view name;
  uint32_t type = 0;
  uint64_t flags = 0;
  uint64_t address = 0;
  uint64_t offset = 0;
  uint64_t size = 0;
  uint32_t link = 0;
  uint32_t info = 0;
  uint64_t entry_size = 0;
};

struct CodeRange {
  uint64_t begin;
  uint64_t end;
};

struct DebugLink {
  std::string file_name; // "" if there is none
  uint32_t crc = 0;
};

struct AltDebugLink {
  std::string file_name; // "" if there is none
  std::vector<uint8_t> build_id;
};

enum class ElfError : uint8_t { kNone, kMissing, kUnreadable, kNotElf };

class ElfFile {
 public:
  // Null on error, with the reason in `error`.
  static std::unique_ptr<ElfFile> open(const std::string& path, ElfError& error);
  ~ElfFile();
  ElfFile(const ElfFile&) = delete;
  ElfFile& operator=(const ElfFile&) = delete;

  const std::string& path() const { return path_; }
  uint64_t file_bytes() const { return file_.size(); }
  int64_t modified_ns() const { return modified_ns_; }
  uint16_t machine() const { return machine_; }
  bool is_64bit() const { return is_64bit_; }
  const std::vector<uint8_t>& build_id() const { return build_id_; }
  const std::vector<ElfSection>& sections() const { return sections_; }
  // Ranges of executable sections (of executable segments, if there are no sections), sorted by begin.
  const std::vector<CodeRange>& code_ranges() const { return code_ranges_; }
  // The executable range around the address, or null.
  const CodeRange* code_range_at(uint64_t address) const;
  bool is_code(uint64_t address) const { return code_range_at(address) != nullptr; }

  // The first section of that name, or null.
  const ElfSection* find(std::string_view name) const;
  // Contents as stored; empty for NOBITS or out of bounds.
  Bytes raw_data(const ElfSection& section) const;
  // Contents, decompressed where needed (kept as long as the file). Also finds ".zdebug_x" for ".debug_x".
  // Thread-safe.
  Bytes data(std::string_view name) const;

  DebugLink debug_link() const;
  AltDebugLink alt_debug_link() const;
  // CRC-32 of the whole file, as .gnu_debuglink has it.
  uint32_t crc32() const;

 private:
  ElfFile() = default;
  bool parse();
  void parse_sections(uint64_t offset, uint64_t entry_size, uint64_t count, uint32_t names_index);
  void parse_segments(uint64_t offset, uint64_t entry_size, uint64_t count);
  void scan_notes(Bytes notes);

  std::string path_;
  Bytes file_;
  int64_t modified_ns_ = 0;
  uint16_t machine_ = 0;
  bool is_64bit_ = true;
  std::vector<uint8_t> build_id_;
  std::vector<ElfSection> sections_;
  std::vector<CodeRange> code_ranges_;

  struct Inflated {
    std::string name;
    std::vector<uint8_t> bytes;
  };
  mutable std::mutex inflated_mutex_;
  mutable std::vector<std::unique_ptr<Inflated>> inflated_;
};

} // namespace hl
