// Unit headers, abbreviations and attribute values; range lists are in dwarf_ranges.cpp.
#include "symbols/dwarf_file.h"

#include <algorithm>

namespace hl {

using namespace dwarf;

namespace {

// Reads a DWARF initial length; the unit's bytes must follow. 0 on failure.
uint64_t initial_length(ByteCursor& cursor, uint8_t& offset_bytes) {
  uint64_t length = cursor.u32();
  offset_bytes = 4;
  if (length == 0xffffffff) {
    length = cursor.u64();
    offset_bytes = 8;
  } else if (length >= 0xfffffff0) {
    cursor.fail();
  }
  if (length > cursor.remaining())
    cursor.fail();
  return cursor.failed() ? 0 : length;
}

bool parse_unit_header(ByteCursor& cursor, DwarfUnit& unit, bool& is_known) {
  unit.offset = cursor.position();
  uint64_t length = initial_length(cursor, unit.offset_bytes);
  if (length == 0)
    return false;
  unit.end = cursor.position() + length;
  unit.version = cursor.u16();
  is_known = unit.version >= 2 && unit.version <= 5;
  if (unit.version >= 5) {
    unit.type = cursor.u8();
    unit.address_bytes = cursor.u8();
    unit.abbrev_offset = cursor.unsigned_of(unit.offset_bytes);
    if (unit.type == kUnitSkeleton || unit.type == kUnitSplitCompile)
      cursor.skip(8); // dwo id
    if (unit.type == kUnitType || unit.type == kUnitSplitType)
      cursor.skip(8 + unit.offset_bytes);
  } else {
    unit.type = kUnitCompile;
    unit.abbrev_offset = cursor.unsigned_of(unit.offset_bytes);
    unit.address_bytes = cursor.u8();
  }
  unit.die_offset = cursor.position();
  if (unit.address_bytes != 4 && unit.address_bytes != 8)
    is_known = false;
  return !cursor.failed() && unit.die_offset <= unit.end;
}

// Bytes a value of this form always takes, or -1.
int32_t fixed_form_bytes(uint16_t form, const DwarfUnit& unit) {
  switch (form) {
  case kFormFlagPresent:
  case kFormImplicitConst:
    return 0;
  case kFormData1:
  case kFormRef1:
  case kFormFlag:
  case kFormStrx1:
  case kFormAddrx1:
    return 1;
  case kFormData2:
  case kFormRef2:
  case kFormStrx2:
  case kFormAddrx2:
    return 2;
  case kFormStrx3:
  case kFormAddrx3:
    return 3;
  case kFormData4:
  case kFormRef4:
  case kFormRefSup4:
  case kFormStrx4:
  case kFormAddrx4:
    return 4;
  case kFormData8:
  case kFormRef8:
  case kFormRefSig8:
  case kFormRefSup8:
    return 8;
  case kFormData16:
    return 16;
  case kFormAddr:
    return unit.address_bytes;
  case kFormRefAddr:
    return unit.version <= 2 ? unit.address_bytes : unit.offset_bytes;
  case kFormStrp:
  case kFormLineStrp:
  case kFormStrpSup:
  case kFormSecOffset:
  case kFormGnuRefAlt:
  case kFormGnuStrpAlt:
    return unit.offset_bytes;
  default:
    return -1;
  }
}

bool parse_abbreviations(Bytes section, const DwarfUnit& unit, AbbreviationTable& table) {
  ByteCursor cursor(section, unit.abbrev_offset);
  while (true) {
    Abbreviation abbreviation;
    abbreviation.code = cursor.uleb();
    if (abbreviation.code == 0)
      break;
    abbreviation.tag = static_cast<uint16_t>(cursor.uleb());
    abbreviation.has_children = cursor.u8() != 0;
    abbreviation.first_spec = static_cast<uint32_t>(table.specs.size());
    int64_t fixed = 0;
    while (true) {
      AttributeSpec spec{};
      spec.name = static_cast<uint16_t>(cursor.uleb());
      spec.form = static_cast<uint16_t>(cursor.uleb());
      if (spec.form == kFormImplicitConst)
        spec.implicit_value = cursor.sleb();
      if (cursor.failed())
        return false;
      if (spec.name == 0 && spec.form == 0)
        break;
      if (spec.name == kAtLowPc || spec.name == kAtRanges)
        abbreviation.has_pc = true;
      if (spec.name == kAtSibling)
        abbreviation.has_sibling = true;
      int32_t size = fixed_form_bytes(spec.form, unit);
      fixed = size < 0 || fixed < 0 ? -1 : std::min<int64_t>(fixed + size, INT32_MAX);
      table.specs.push_back(spec);
    }
    abbreviation.spec_count = static_cast<uint32_t>(table.specs.size()) - abbreviation.first_spec;
    abbreviation.fixed_bytes = static_cast<int32_t>(fixed);
    if (abbreviation.code != table.entries.size() + 1)
      table.is_dense = false;
    table.entries.push_back(abbreviation);
  }
  if (cursor.failed())
    return false;
  if (!table.is_dense) {
    std::stable_sort(table.entries.begin(), table.entries.end(),
                     [](const Abbreviation& a, const Abbreviation& b) { return a.code < b.code; });
  }
  return true;
}

bool is_in(const std::vector<CodeRange>& ranges, uint64_t address) {
  auto after = std::upper_bound(ranges.begin(), ranges.end(), address,
                                [](uint64_t a, const CodeRange& range) { return a < range.begin; });
  return after != ranges.begin() && address < std::prev(after)->end;
}

} // namespace

std::unique_ptr<DwarfFile> DwarfFile::load(const ElfFile& elf, const std::vector<CodeRange>& code_ranges) {
  auto file = std::make_unique<DwarfFile>();
  file->info = elf.data(".debug_info");
  file->abbrev = elf.data(".debug_abbrev");
  if (file->info.empty() || file->abbrev.empty())
    return nullptr;
  file->line = elf.data(".debug_line");
  file->str = elf.data(".debug_str");
  file->line_str = elf.data(".debug_line_str");
  file->ranges = elf.data(".debug_ranges");
  file->rnglists = elf.data(".debug_rnglists");
  file->addr = elf.data(".debug_addr");
  file->str_offsets = elf.data(".debug_str_offsets");
  file->aranges = elf.data(".debug_aranges");
  file->code_ranges = code_ranges;

  ByteCursor cursor(file->info);
  while (!cursor.at_end()) {
    DwarfUnit unit;
    bool is_known = false;
    if (!parse_unit_header(cursor, unit, is_known)) {
      file->damaged = true;
      break;
    }
    if (is_known)
      file->units.push_back(unit);
    cursor.seek(unit.end);
  }
  return file;
}

const DwarfUnit* DwarfFile::unit_at(uint64_t offset) const {
  auto after = std::upper_bound(units.begin(), units.end(), offset,
                                [](uint64_t o, const DwarfUnit& unit) { return o < unit.offset; });
  if (after == units.begin())
    return nullptr;
  const DwarfUnit& unit = *std::prev(after);
  return offset >= unit.die_offset && offset < unit.end ? &unit : nullptr;
}

bool DwarfFile::is_code(uint64_t address) const {
  return is_in(code_ranges, address);
}

uint64_t DwarfFile::total_bytes() const {
  return info.size() + abbrev.size() + line.size() + ranges.size() + rnglists.size() + aranges.size();
}

const Abbreviation* AbbreviationTable::find(uint64_t code) const {
  if (is_dense)
    return code - 1 < entries.size() ? &entries[code - 1] : nullptr;
  auto found = std::lower_bound(entries.begin(), entries.end(), code,
                                [](const Abbreviation& a, uint64_t c) { return a.code < c; });
  return found != entries.end() && found->code == code ? &*found : nullptr;
}

AttributeValue read_attribute(ByteCursor& cursor, const DwarfUnit& unit, const AttributeSpec& spec) {
  uint16_t form = spec.form;
  if (form == kFormIndirect) {
    form = static_cast<uint16_t>(cursor.uleb());
    if (form == kFormIndirect || form == kFormImplicitConst)
      cursor.fail();
  }
  switch (form) {
  case kFormImplicitConst:
    return {form, static_cast<uint64_t>(spec.implicit_value)};
  case kFormFlagPresent:
    return {form, 1};
  case kFormString: {
    uint64_t position = cursor.position();
    cursor.c_string();
    return {form, position};
  }
  case kFormUdata:
  case kFormRefUdata:
  case kFormStrx:
  case kFormAddrx:
  case kFormLoclistx:
  case kFormRnglistx:
  case kFormGnuAddrIndex:
  case kFormGnuStrIndex:
    return {form, cursor.uleb()};
  case kFormSdata:
    return {form, static_cast<uint64_t>(cursor.sleb())};
  case kFormBlock1:
    cursor.skip(cursor.u8());
    return {form, 0};
  case kFormBlock2:
    cursor.skip(cursor.u16());
    return {form, 0};
  case kFormBlock4:
    cursor.skip(cursor.u32());
    return {form, 0};
  case kFormBlock:
  case kFormExprloc:
    cursor.skip(cursor.uleb());
    return {form, 0};
  case kFormData16:
    cursor.skip(16);
    return {form, 0};
  default:
    break;
  }
  int32_t size = fixed_form_bytes(form, unit);
  if (size <= 0) {
    cursor.fail();
    return {};
  }
  return {form, cursor.unsigned_of(static_cast<unsigned>(size))};
}

std::shared_ptr<const AbbreviationTable> DwarfReader::abbreviations(const DwarfFile& file,
                                                                    const DwarfUnit& unit) {
  uint32_t shape = uint32_t{unit.version <= 2} << 16 | uint32_t{unit.address_bytes} << 8 | unit.offset_bytes;
  for (const CachedTable& known : recent_tables_) {
    if (known.file == &file && known.offset == unit.abbrev_offset && known.shape == shape)
      return known.table;
  }
  auto table = std::make_shared<AbbreviationTable>();
  bool is_good = parse_abbreviations(file.abbrev, unit, *table);
  // A table that runs into its section's end costs much and yields nothing: charge what it read.
  bool is_paid = budget_.spend(table->specs.size() * 4 + 16);
  CachedTable cached{&file, unit.abbrev_offset, shape, is_good && is_paid ? table : nullptr};
  constexpr size_t kRecentTables = 16;
  if (recent_tables_.size() < kRecentTables) {
    recent_tables_.push_back(cached);
  } else {
    recent_tables_[next_recent_++ % kRecentTables] = cached;
  }
  return cached.table;
}

const UnitContext* DwarfReader::unit_context(const DwarfFile& file, const DwarfUnit& unit) {
  auto [slot, is_new] = contexts_.try_emplace(&unit);
  if (!is_new)
    return slot->second.get();
  auto context = std::make_unique<UnitContext>();
  context->file = &file;
  context->unit = &unit;
  context->abbreviations = abbreviations(file, unit);
  if (context->abbreviations == nullptr)
    return nullptr;
  ByteCursor cursor(file.info, unit.die_offset, unit.end);
  const Abbreviation* root = context->abbreviations->find(cursor.uleb());
  if (root == nullptr)
    return nullptr;
  context->root_tag = root->tag;
  context->root_has_children = root->has_children;
  // Without DW_AT_str_offsets_base the first table of the section is meant, behind its header.
  context->str_offsets_base = unit.version >= 5 ? uint64_t{unit.offset_bytes} * 2 : 0;
  UnitContext& c = *context;
  read_attributes(cursor, unit, *c.abbreviations, *root, [&](uint16_t name, const AttributeValue& value) {
    switch (name) {
    case kAtLowPc:
      c.low_pc = value;
      break;
    case kAtHighPc:
      c.high_pc = value;
      break;
    case kAtRanges:
      c.ranges = value;
      break;
    case kAtStmtList:
      c.stmt_list = value;
      break;
    case kAtCompDir:
      c.comp_dir = value;
      break;
    case kAtName:
      c.name = value;
      break;
    case kAtStrOffsetsBase:
      c.str_offsets_base = value.value;
      break;
    case kAtAddrBase:
    case kAtGnuAddrBase:
      c.addr_base = value.value;
      break;
    case kAtRnglistsBase:
      c.rnglists_base = value.value;
      break;
    default:
      break;
    }
  });
  if (cursor.failed())
    return nullptr;
  if (!c.low_pc || !address(c, c.low_pc, c.base_address))
    c.base_address = 0;
  slot->second = std::move(context);
  return slot->second.get();
}

std::string_view DwarfReader::string(const UnitContext& unit, const AttributeValue& value) const {
  const DwarfFile& file = *unit.file;
  switch (value.form) {
  case kFormString:
    return c_string_at(file.info, value.value);
  case kFormStrp:
    return c_string_at(file.str, value.value);
  case kFormLineStrp:
    return c_string_at(file.line_str, value.value);
  case kFormStrpSup:
  case kFormGnuStrpAlt:
    return file.alternate != nullptr ? c_string_at(file.alternate->str, value.value) : std::string_view{};
  case kFormStrx:
  case kFormStrx1:
  case kFormStrx2:
  case kFormStrx3:
  case kFormStrx4:
  case kFormGnuStrIndex: {
    ByteCursor table(file.str_offsets, unit.str_offsets_base + value.value * unit.unit->offset_bytes);
    uint64_t offset = table.unsigned_of(unit.unit->offset_bytes);
    return table.failed() ? std::string_view{} : c_string_at(file.str, offset);
  }
  default:
    return {};
  }
}

bool DwarfReader::address(const UnitContext& unit, const AttributeValue& value, uint64_t& result) const {
  switch (value.form) {
  case kFormAddr:
    result = value.value;
    return true;
  case kFormAddrx:
  case kFormAddrx1:
  case kFormAddrx2:
  case kFormAddrx3:
  case kFormAddrx4:
  case kFormGnuAddrIndex:
    result = indexed_address(unit, value.value);
    return true;
  default:
    return false;
  }
}

uint64_t DwarfReader::indexed_address(const UnitContext& unit, uint64_t index) const {
  ByteCursor table(unit.file->addr, unit.addr_base + index * unit.unit->address_bytes);
  return table.unsigned_of(unit.unit->address_bytes);
}

DieReference DwarfReader::reference(const UnitContext& unit, const AttributeValue& value) const {
  switch (value.form) {
  case kFormRef1:
  case kFormRef2:
  case kFormRef4:
  case kFormRef8:
  case kFormRefUdata: {
    uint64_t offset = unit.unit->offset + value.value;
    bool is_inside = value.value < unit.unit->end - unit.unit->offset && offset >= unit.unit->die_offset;
    return is_inside ? DieReference{unit.file, offset} : DieReference{};
  }
  case kFormRefAddr:
    return {unit.file, value.value};
  case kFormGnuRefAlt:
  case kFormRefSup4:
  case kFormRefSup8:
    return {unit.file->alternate, value.value};
  default:
    return {};
  }
}

} // namespace hl
