// The DWARF of one ELF file as immutable data: its sections, the headers of its units, abbreviation tables
// and the decoding of attribute values.
//
// Split by who may change what: a DwarfFile is immutable after load() and shared by threads; everything
// lazily decoded (abbreviations, unit roots) lives in a DwarfReader, one per thread of work. Every count,
// offset and reference here comes from a hostile file: reads are bounded by ByteCursor, total work by a
// WorkBudget.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "symbols/byte_cursor.h"
#include "symbols/dwarf_constants.h"
#include "symbols/elf_file.h"

namespace hl {

// Header of one unit of .debug_info. Offsets are into that section.
struct DwarfUnit {
  uint64_t offset = 0;     // of the header
  uint64_t die_offset = 0; // of the root DIE
  uint64_t end = 0;
  uint64_t abbrev_offset = 0;
  uint16_t version = 0;
  uint8_t type = 0; // dwarf::UnitType
  uint8_t address_bytes = 0;
  uint8_t offset_bytes = 0; // 4, or 8 in 64-bit DWARF
};

struct DwarfFile {
  Bytes info, abbrev, line, str, line_str, ranges, rnglists, addr, str_offsets, aranges;
  std::vector<DwarfUnit> units;         // sorted by offset
  std::vector<CodeRange> code_ranges;   // of the module: addresses outside are tombstones of dropped code
  const DwarfFile* alternate = nullptr; // dwz's common file, if found
  bool damaged = false;                 // a unit header made no sense; what follows it is lost

  // Reads sections and unit headers. Null if the file has no .debug_info.
  static std::unique_ptr<DwarfFile> load(const ElfFile& elf, const std::vector<CodeRange>& code_ranges);
  // The unit whose DIEs include `offset`, or null.
  const DwarfUnit* unit_at(uint64_t offset) const;
  bool is_code(uint64_t address) const;
  uint64_t total_bytes() const;
};

// Bytes of work a module may still cost. Honest files need a few times their size; a hostile file whose lists
// are shared by thousands of entries is given up, not followed.
class WorkBudget {
 public:
  explicit WorkBudget(uint64_t bytes) : left_(bytes) {}
  bool spend(uint64_t bytes) {
    if (bytes > left_) {
      left_ = 0;
      return false;
    }
    left_ -= bytes;
    return true;
  }
  bool exhausted() const { return left_ == 0; }

 private:
  uint64_t left_;
};

struct AttributeSpec {
  uint16_t name;
  uint16_t form;
  int64_t implicit_value;
};

struct Abbreviation {
  uint64_t code = 0;
  uint16_t tag = 0;
  bool has_children = false;
  bool has_pc = false; // has DW_AT_low_pc or DW_AT_ranges
  bool has_sibling = false;
  int32_t fixed_bytes = -1; // size of all attribute values if it is always the same
  uint32_t first_spec = 0;
  uint32_t spec_count = 0;
};

class AbbreviationTable {
 public:
  const Abbreviation* find(uint64_t code) const;
  std::vector<Abbreviation> entries;
  std::vector<AttributeSpec> specs;
  bool is_dense = true; // entries[i].code == i + 1
};

struct AttributeValue {
  uint16_t form = 0; // 0: the attribute is absent
  uint64_t value = 0;
  explicit operator bool() const { return form != 0; }
};

// A unit with what its root DIE says.
struct UnitContext {
  const DwarfFile* file = nullptr;
  const DwarfUnit* unit = nullptr;
  std::shared_ptr<const AbbreviationTable> abbreviations;
  uint16_t root_tag = 0;
  bool root_has_children = false;
  AttributeValue low_pc, high_pc, ranges, stmt_list, comp_dir, name;
  uint64_t base_address = 0; // of relative range lists
  uint64_t str_offsets_base = 0, addr_base = 0, rnglists_base = 0;
};

struct DieReference {
  const DwarfFile* file = nullptr; // null: no such DIE
  uint64_t offset = 0;
};

class DwarfReader {
 public:
  explicit DwarfReader(WorkBudget& budget) : budget_(budget) {}

  // Null if the unit's abbreviations or root DIE cannot be read. Cached.
  const UnitContext* unit_context(const DwarfFile& file, const DwarfUnit& unit);

  std::string_view string(const UnitContext& unit, const AttributeValue& value) const;
  bool address(const UnitContext& unit, const AttributeValue& value, uint64_t& result) const;
  DieReference reference(const UnitContext& unit, const AttributeValue& value) const;
  // Appends the code ranges of a DIE; tombstones and empty ranges are left out.
  void append_ranges(const UnitContext& unit, const AttributeValue& low_pc, const AttributeValue& high_pc,
                     const AttributeValue& ranges, std::vector<CodeRange>& result);
  WorkBudget& budget() { return budget_; }

 private:
  std::shared_ptr<const AbbreviationTable> abbreviations(const DwarfFile& file, const DwarfUnit& unit);
  uint64_t indexed_address(const UnitContext& unit, uint64_t index) const;
  void append_range_list(const UnitContext& unit, uint64_t offset, std::vector<CodeRange>& result);
  void append_rnglist(const UnitContext& unit, uint64_t offset, std::vector<CodeRange>& result);

  WorkBudget& budget_;
  std::unordered_map<const DwarfUnit*, std::unique_ptr<UnitContext>> contexts_;
  struct CachedTable {
    const DwarfFile* file = nullptr;
    uint64_t offset = 0;
    uint32_t shape = 0; // version, address and offset sizes: they decide fixed_bytes
    std::shared_ptr<const AbbreviationTable> table;
  };
  std::vector<CachedTable> recent_tables_;
  size_t next_recent_ = 0;
};

// Reads one attribute value at the cursor. Unknown forms fail the cursor: their size is unknown.
AttributeValue read_attribute(ByteCursor& cursor, const DwarfUnit& unit, const AttributeSpec& spec);

// Reads a DIE's attributes at the cursor, which stands behind its abbreviation code, and passes each with its
// name to `visit`. The sink decides what it needs; values are cheap until resolved.
template <typename Visit>
void read_attributes(ByteCursor& cursor, const DwarfUnit& unit, const AbbreviationTable& table,
                     const Abbreviation& abbreviation, Visit&& visit) {
  const AttributeSpec* spec = table.specs.data() + abbreviation.first_spec;
  for (uint32_t i = 0; i < abbreviation.spec_count && !cursor.failed(); ++i, ++spec) {
    AttributeValue value = read_attribute(cursor, unit, *spec);
    visit(spec->name, value);
  }
}

} // namespace hl
