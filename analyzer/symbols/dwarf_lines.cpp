// The line number program of DWARF 2 to 5, interpreted into sorted sequences.
#include "symbols/dwarf_lines.h"

#include <algorithm>

namespace hl {

using namespace dwarf;

namespace {

// More rows than any honest unit has; the rest of the program is dropped.
constexpr size_t kMaxRows = 32 << 20;

struct EntryFormat {
  uint16_t content;
  uint16_t form;
};

std::vector<EntryFormat> read_entry_formats(ByteCursor& cursor) {
  std::vector<EntryFormat> formats;
  unsigned count = cursor.u8();
  for (unsigned i = 0; i < count && !cursor.failed(); ++i) {
    auto content = static_cast<uint16_t>(cursor.uleb());
    auto form = static_cast<uint16_t>(cursor.uleb());
    formats.push_back({content, form});
  }
  return formats;
}

} // namespace

bool LineTable::load(DwarfReader& reader, const UnitContext& unit) {
  if (!unit.stmt_list)
    return false;
  compilation_directory_ = reader.string(unit, unit.comp_dir);
  unit_name_ = reader.string(unit, unit.name);
  Header header;
  if (!read_header(reader, unit, unit.stmt_list.value, header))
    return false;
  if (!reader.budget().spend(header.program_end - unit.stmt_list.value))
    return false;
  run_program(unit, header);
  std::stable_sort(sequences_.begin(), sequences_.end(),
                   [](const Sequence& a, const Sequence& b) { return a.begin < b.begin; });
  return true;
}

bool LineTable::read_header(DwarfReader& reader, const UnitContext& unit, uint64_t offset, Header& header) {
  ByteCursor cursor(unit.file->line, offset);
  uint64_t length = cursor.u32();
  if (length == 0xffffffff) {
    length = cursor.u64();
    header.offset_bytes = 8;
  }
  if (cursor.failed())
    return false;
  // A truncated section keeps what is there.
  header.program_end = cursor.position() + std::min(length, cursor.remaining());
  header.version = cursor.u16();
  if (header.version < 2 || header.version > 5)
    return false;
  version_ = header.version;
  header.address_bytes = unit.unit->address_bytes;
  if (header.version >= 5) {
    header.address_bytes = cursor.u8();
    cursor.skip(1); // segment selector size
  }
  uint64_t header_length = cursor.unsigned_of(header.offset_bytes);
  if (cursor.failed() || header_length > cursor.remaining())
    return false;
  header.program_begin = cursor.position() + header_length;
  header.minimum_instruction_bytes = cursor.u8();
  if (header.version >= 4)
    cursor.skip(1); // maximum operations: VLIW is not supported
  cursor.skip(1);   // default_is_stmt
  header.line_base = static_cast<int8_t>(cursor.u8());
  header.line_range = cursor.u8();
  header.opcode_base = cursor.u8();
  for (unsigned opcode = 1; opcode < header.opcode_base; ++opcode) {
    header.operand_counts.push_back(cursor.u8());
  }
  if (cursor.failed() || header.line_range == 0 || header.program_begin > header.program_end)
    return false;

  // The tables may use another offset size than the unit that refers to them.
  DwarfUnit table_unit = *unit.unit;
  table_unit.offset_bytes = header.offset_bytes;
  table_unit.address_bytes = header.address_bytes;
  ByteCursor tables(unit.file->line, cursor.position(), header.program_begin);
  if (header.version >= 5) {
    read_entry_table(reader, unit, table_unit, tables, false);
    read_entry_table(reader, unit, table_unit, tables, true);
  } else {
    read_legacy_tables(tables);
  }
  return true;
}

void LineTable::read_legacy_tables(ByteCursor& cursor) {
  // Directory 0 is the compilation directory and file 0 the unit itself, both implied.
  directories_.push_back(compilation_directory_);
  files_.push_back({unit_name_, 0});
  while (!cursor.failed()) {
    std::string_view directory = cursor.c_string();
    if (directory.empty())
      break;
    directories_.push_back(directory);
  }
  while (!cursor.failed()) {
    FileEntry entry;
    entry.name = cursor.c_string();
    if (entry.name.empty())
      break;
    entry.directory = cursor.uleb();
    cursor.uleb(); // modification time
    cursor.uleb(); // length
    files_.push_back(entry);
  }
}

void LineTable::read_entry_table(DwarfReader& reader, const UnitContext& unit, const DwarfUnit& table_unit,
                                 ByteCursor& cursor, bool is_files) {
  std::vector<EntryFormat> formats = read_entry_formats(cursor);
  uint64_t count = cursor.uleb();
  for (uint64_t i = 0; i < count && !cursor.failed() && !formats.empty(); ++i) {
    FileEntry entry;
    uint64_t before = cursor.position();
    for (const EntryFormat& format : formats) {
      AttributeValue value = read_attribute(cursor, table_unit, {format.content, format.form, 0});
      if (format.content == kLnctPath) {
        // An inline string's value is a position in .debug_line, not in .debug_info.
        entry.name = value.form == kFormString ? c_string_at(unit.file->line, value.value)
                                               : reader.string(unit, value);
      } else if (format.content == kLnctDirectoryIndex) {
        entry.directory = value.value;
      }
    }
    // Entries of no bytes would let a count of 2^64 run for ever.
    if (cursor.failed() || cursor.position() == before)
      return;
    if (is_files) {
      files_.push_back(entry);
    } else {
      directories_.push_back(entry.name);
    }
  }
}

void LineTable::run_program(const UnitContext& unit, const Header& header) {
  ByteCursor cursor(unit.file->line, header.program_begin, header.program_end);
  LineRow state{0, 1, 1, 0};
  size_t first_row = rows_.size();
  auto advance = [&](uint64_t operations) { state.address += operations * header.minimum_instruction_bytes; };
  while (!cursor.at_end() && rows_.size() < kMaxRows) {
    uint8_t opcode = cursor.u8();
    if (opcode >= header.opcode_base) {
      unsigned adjusted = opcode - header.opcode_base;
      advance(adjusted / header.line_range);
      state.line += static_cast<uint32_t>(header.line_base + static_cast<int>(adjusted % header.line_range));
      rows_.push_back(state);
      continue;
    }
    switch (opcode) {
    case 0: {
      uint64_t length = cursor.uleb();
      if (cursor.failed() || length == 0 || length > cursor.remaining()) {
        cursor.fail();
        break;
      }
      uint64_t next = cursor.position() + length;
      uint8_t extended = cursor.u8();
      if (extended == kLneEndSequence) {
        close_sequence(*unit.file, first_row, state.address);
        state = {0, 1, 1, 0};
        first_row = rows_.size();
      } else if (extended == kLneSetAddress) {
        state.address = cursor.unsigned_of(static_cast<unsigned>(std::min<uint64_t>(length - 1, 9)));
      } else if (extended == kLneDefineFile && version_ < 5) {
        FileEntry entry;
        entry.name = cursor.c_string();
        entry.directory = cursor.uleb();
        files_.push_back(entry);
      }
      cursor.seek(next);
      break;
    }
    case kLnsCopy:
      rows_.push_back(state);
      break;
    case kLnsAdvancePc:
      advance(cursor.uleb());
      break;
    case kLnsAdvanceLine:
      state.line += static_cast<uint32_t>(cursor.sleb());
      break;
    case kLnsSetFile:
      state.file = static_cast<uint32_t>(cursor.uleb());
      break;
    case kLnsSetColumn:
      state.column = static_cast<uint32_t>(cursor.uleb());
      break;
    case kLnsConstAddPc:
      advance((255u - header.opcode_base) / header.line_range);
      break;
    case kLnsFixedAdvancePc:
      state.address += cursor.u16();
      break;
    default:
      // Flags (negate_stmt, basic_block, prologue…) carry no operands; unknown opcodes say how many.
      for (unsigned i = 0; i < header.operand_counts[opcode - 1u]; ++i)
        cursor.uleb();
      break;
    }
  }
  // Rows after the last end_sequence have no known end: dropped.
  rows_.resize(first_row);
}

void LineTable::close_sequence(const DwarfFile& file, size_t first_row, uint64_t end_address) {
  auto begin = rows_.begin() + static_cast<ptrdiff_t>(first_row);
  if (begin == rows_.end())
    return;
  auto by_address = [](const LineRow& a, const LineRow& b) { return a.address < b.address; };
  if (!std::is_sorted(begin, rows_.end(), by_address))
    std::stable_sort(begin, rows_.end(), by_address);
  uint64_t begin_address = begin->address;
  if (begin_address >= end_address || !file.is_code(begin_address)) {
    rows_.resize(first_row);
    return;
  }
  sequences_.push_back({begin_address, end_address, first_row, rows_.size() - first_row});
}

const LineRow* LineTable::find(uint64_t address) const {
  auto after = std::upper_bound(sequences_.begin(), sequences_.end(), address,
                                [](uint64_t a, const Sequence& sequence) { return a < sequence.begin; });
  // Sequences may overlap in files put together by hand: look back over a few.
  for (int tries = 0; after != sequences_.begin() && tries < 8; ++tries) {
    const Sequence& sequence = *--after;
    if (address >= sequence.end)
      continue;
    auto first = rows_.begin() + static_cast<ptrdiff_t>(sequence.first_row);
    auto row = std::upper_bound(first, first + static_cast<ptrdiff_t>(sequence.row_count), address,
                                [](uint64_t a, const LineRow& candidate) { return a < candidate.address; });
    return row == first ? nullptr : &*std::prev(row);
  }
  return nullptr;
}

std::string LineTable::file_path(uint64_t index) const {
  if (index >= files_.size() || (index == 0 && version_ < 5))
    return {};
  const FileEntry& entry = files_[index];
  std::string path;
  if (!entry.name.starts_with('/')) {
    if (entry.directory < directories_.size())
      path = directories_[entry.directory];
    if (!path.starts_with('/') && !compilation_directory_.empty() && path != compilation_directory_) {
      std::string relative = std::move(path);
      path = compilation_directory_;
      if (!relative.empty())
        path += '/' + relative;
    }
    if (!path.empty())
      path += '/';
  }
  path += entry.name;
  return normalize_path(path);
}

std::string normalize_path(std::string_view path) {
  std::vector<std::string_view> parts;
  bool is_absolute = path.starts_with('/');
  size_t at = 0;
  while (at <= path.size()) {
    size_t slash = std::min(path.find('/', at), path.size());
    std::string_view part = path.substr(at, slash - at);
    at = slash + 1;
    if (part.empty() || part == ".")
      continue;
    bool can_climb = !parts.empty() && parts.back() != "..";
    if (part == ".." && can_climb) {
      parts.pop_back();
    } else if (part != ".." || !is_absolute) {
      parts.push_back(part);
    }
  }
  std::string result;
  for (std::string_view part : parts) {
    if (is_absolute || !result.empty())
      result += '/';
    result += part;
  }
  return result.empty() && is_absolute ? "/" : result;
}

} // namespace hl
