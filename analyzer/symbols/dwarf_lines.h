// The line table of one unit: address -> file, line, column.
//
// Rows are kept per sequence, sequences sorted by address; those of code the linker dropped are left out.
// An address belongs to the last row at or before it within its sequence: of several rows at one address the
// last counts, as in llvm-symbolizer. File names are put together on demand.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "symbols/dwarf_file.h"

namespace hl {

struct LineRow {
  uint64_t address;
  uint32_t file;
  uint32_t line;
  uint32_t column;
};

class LineTable {
 public:
  // Reads the program that the unit's DW_AT_stmt_list names. False: there is none, or it is unreadable from
  // the start. A program that breaks off keeps its whole sequences.
  bool load(DwarfReader& reader, const UnitContext& unit);

  const LineRow* find(uint64_t address) const;
  // Absolute if the debug information allows it, "." and ".." resolved; "" for an unknown index.
  std::string file_path(uint64_t index) const;
  size_t file_count() const { return files_.size(); }

 private:
  struct FileEntry {
    std::string_view name;
    uint64_t directory = 0;
  };
  struct Sequence {
    uint64_t begin;
    uint64_t end;
    size_t first_row;
    size_t row_count;
  };
  struct Header {
    uint16_t version = 0;
    uint8_t offset_bytes = 4;
    uint8_t address_bytes = 8;
    uint8_t minimum_instruction_bytes = 1;
    int8_t line_base = 0;
    uint8_t line_range = 1;
    uint8_t opcode_base = 1;
    std::vector<uint8_t> operand_counts;
    uint64_t program_begin = 0;
    uint64_t program_end = 0;
  };

  bool read_header(DwarfReader& reader, const UnitContext& unit, uint64_t offset, Header& header);
  void read_legacy_tables(ByteCursor& cursor);
  void read_entry_table(DwarfReader& reader, const UnitContext& unit, const DwarfUnit& table_unit,
                        ByteCursor& cursor, bool is_files);
  void run_program(const UnitContext& unit, const Header& header);
  void close_sequence(const DwarfFile& file, size_t first_row, uint64_t end_address);

  uint16_t version_ = 0;
  std::string_view compilation_directory_;
  std::string_view unit_name_;
  std::vector<std::string_view> directories_;
  std::vector<FileEntry> files_;
  std::vector<LineRow> rows_;
  std::vector<Sequence> sequences_;
};

// Joins and resolves "." and ".." lexically; keeps a relative path relative.
std::string normalize_path(std::string_view path);

} // namespace hl
