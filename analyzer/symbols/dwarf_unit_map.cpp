// Reading .debug_aranges and root ranges into one sorted list of extents.
#include "symbols/dwarf_unit_map.h"

#include <algorithm>

#include "symbols/dwarf_functions.h"

namespace hl {

void DwarfUnitMap::build(DwarfReader& reader, const DwarfFile& file) {
  std::vector<bool> has_aranges(file.units.size(), false);
  read_aranges(file, has_aranges);
  std::vector<CodeRange> ranges;
  for (size_t i = 0; i < file.units.size(); ++i) {
    const DwarfUnit& unit = file.units[i];
    bool may_have_code = unit.type == dwarf::kUnitCompile || unit.type == dwarf::kUnitSkeleton;
    if (has_aranges[i] || !may_have_code)
      continue;
    const UnitContext* context = reader.unit_context(file, unit);
    if (context == nullptr || context->root_tag == dwarf::kTagPartialUnit)
      continue;
    ranges.clear();
    reader.append_ranges(*context, context->low_pc, context->high_pc, context->ranges, ranges);
    for (const CodeRange& range : ranges) {
      extents_.push_back({range.begin, range.end, static_cast<uint32_t>(i), 0});
    }
    bool is_silent = ranges.empty() && !context->ranges && !context->high_pc && context->root_has_children;
    if (is_silent)
      silent_units_.push_back(static_cast<uint32_t>(i));
  }
  sort();
}

void DwarfUnitMap::read_aranges(const DwarfFile& file, std::vector<bool>& has_aranges) {
  ByteCursor section(file.aranges);
  while (!section.at_end()) {
    uint64_t set_begin = section.position();
    uint64_t length = section.u32();
    unsigned offset_bytes = 4;
    if (length == 0xffffffff) {
      length = section.u64();
      offset_bytes = 8;
    }
    if (section.failed() || length > section.remaining())
      return;
    uint64_t set_end = section.position() + length;
    ByteCursor set(file.aranges, section.position(), set_end);
    section.seek(set_end);
    uint16_t version = set.u16();
    uint64_t info_offset = set.unsigned_of(offset_bytes);
    unsigned word = set.u8();
    uint8_t segment_bytes = set.u8();
    if (set.failed() || version != 2 || segment_bytes != 0 || (word != 4 && word != 8))
      continue;
    auto unit = std::lower_bound(file.units.begin(), file.units.end(), info_offset,
                                 [](const DwarfUnit& u, uint64_t offset) { return u.offset < offset; });
    if (unit == file.units.end() || unit->offset != info_offset)
      continue;
    // Tuples are aligned to their size, counted from the set's begin.
    uint64_t header_bytes = set.position() - set_begin;
    set.skip((word * 2 - header_bytes % (word * 2)) % (word * 2));
    auto index = static_cast<size_t>(unit - file.units.begin());
    while (set.remaining() >= word * 2) {
      uint64_t begin = set.unsigned_of(word);
      uint64_t bytes = set.unsigned_of(word);
      if (begin == 0 && bytes == 0)
        break;
      if (bytes == 0 || bytes > UINT64_MAX - begin || !file.is_code(begin))
        continue;
      extents_.push_back({begin, begin + bytes, static_cast<uint32_t>(index), 0});
      has_aranges[index] = true;
    }
  }
}

void DwarfUnitMap::scan_silent_units(DwarfReader& reader, const DwarfFile& file) {
  std::vector<CodeRange> ranges;
  for (uint32_t index : silent_units_) {
    const UnitContext* context = reader.unit_context(file, file.units[index]);
    if (context == nullptr)
      continue;
    ranges.clear();
    FunctionIndex(reader, *context).append_code_ranges(ranges);
    for (const CodeRange& range : ranges)
      extents_.push_back({range.begin, range.end, index, 0});
  }
  silent_units_.clear();
  sort();
}

void DwarfUnitMap::sort() {
  std::stable_sort(extents_.begin(), extents_.end(),
                   [](const Extent& a, const Extent& b) { return a.begin < b.begin; });
  uint64_t latest_end = 0;
  for (Extent& extent : extents_) {
    latest_end = std::max(latest_end, extent.end);
    extent.latest_end = latest_end;
  }
}

int64_t DwarfUnitMap::lookup(uint64_t address) const {
  auto after = std::upper_bound(extents_.begin(), extents_.end(), address,
                                [](uint64_t a, const Extent& extent) { return a < extent.begin; });
  for (int tries = 0; after != extents_.begin() && tries < 64; ++tries) {
    --after;
    if (address < after->end)
      return after->unit;
    if (address >= after->latest_end)
      break;
  }
  return -1;
}

int64_t DwarfUnitMap::find(DwarfReader& reader, const DwarfFile& file, uint64_t address) {
  int64_t unit = lookup(address);
  if (unit < 0 && !silent_units_.empty() && file.is_code(address)) {
    scan_silent_units(reader, file);
    unit = lookup(address);
  }
  return unit;
}

} // namespace hl
