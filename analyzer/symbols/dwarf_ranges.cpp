// Code ranges of a DIE: low/high pc, .debug_ranges (DWARF 2-4) and .debug_rnglists (DWARF 5).
//
// Ranges outside the module's executable sections are dropped: linkers leave such tombstones (0, 1, -1, -2)
// for functions they discarded, and a range at 0 would otherwise claim the addresses of a relocatable module.
#include "symbols/dwarf_file.h"

namespace hl {

using namespace dwarf;

namespace {

// What one list entry is charged: its bytes and what is made of it. Lists may be shared by any number of
// DIEs.
constexpr uint64_t kEntryCost = 64;

void append_if_code(const DwarfFile& file, uint64_t begin, uint64_t end, std::vector<CodeRange>& result) {
  if (begin < end && file.is_code(begin))
    result.push_back({begin, end});
}

} // namespace

void DwarfReader::append_ranges(const UnitContext& unit, const AttributeValue& low_pc,
                                const AttributeValue& high_pc, const AttributeValue& ranges,
                                std::vector<CodeRange>& result) {
  if (ranges) {
    if (unit.unit->version >= 5) {
      uint64_t offset = ranges.value;
      if (ranges.form == kFormRnglistx) {
        ByteCursor table(unit.file->rnglists, unit.rnglists_base + ranges.value * unit.unit->offset_bytes);
        offset = unit.rnglists_base + table.unsigned_of(unit.unit->offset_bytes);
        if (table.failed())
          return;
      }
      append_rnglist(unit, offset, result);
    } else {
      append_range_list(unit, ranges.value, result);
    }
    return;
  }
  uint64_t begin = 0;
  uint64_t end = 0;
  if (!low_pc || !high_pc || !address(unit, low_pc, begin))
    return;
  if (!address(unit, high_pc, end))
    end = begin + high_pc.value;
  append_if_code(*unit.file, begin, end, result);
}

void DwarfReader::append_range_list(const UnitContext& unit, uint64_t offset,
                                    std::vector<CodeRange>& result) {
  unsigned word = unit.unit->address_bytes;
  uint64_t all_ones = word == 8 ? UINT64_MAX : UINT32_MAX;
  uint64_t base = unit.base_address;
  ByteCursor cursor(unit.file->ranges, offset);
  while (budget_.spend(kEntryCost)) {
    uint64_t begin = cursor.unsigned_of(word);
    uint64_t end = cursor.unsigned_of(word);
    if (cursor.failed() || (begin == 0 && end == 0))
      return;
    if (begin == all_ones) {
      base = end;
    } else {
      append_if_code(*unit.file, base + begin, base + end, result);
    }
  }
}

void DwarfReader::append_rnglist(const UnitContext& unit, uint64_t offset, std::vector<CodeRange>& result) {
  unsigned word = unit.unit->address_bytes;
  uint64_t base = unit.base_address;
  ByteCursor cursor(unit.file->rnglists, offset);
  while (budget_.spend(kEntryCost)) {
    uint64_t begin = 0;
    uint64_t end = 0;
    switch (cursor.u8()) {
    case kRleBaseAddressx:
      base = indexed_address(unit, cursor.uleb());
      continue;
    case kRleBaseAddress:
      base = cursor.unsigned_of(word);
      continue;
    case kRleStartxEndx:
      begin = indexed_address(unit, cursor.uleb());
      end = indexed_address(unit, cursor.uleb());
      break;
    case kRleStartxLength:
      begin = indexed_address(unit, cursor.uleb());
      end = begin + cursor.uleb();
      break;
    case kRleOffsetPair:
      begin = base + cursor.uleb();
      end = base + cursor.uleb();
      break;
    case kRleStartEnd:
      begin = cursor.unsigned_of(word);
      end = cursor.unsigned_of(word);
      break;
    case kRleStartLength:
      begin = cursor.unsigned_of(word);
      end = begin + cursor.uleb();
      break;
    case kRleEndOfList:
    default:
      return;
    }
    if (cursor.failed())
      return;
    append_if_code(*unit.file, begin, end, result);
  }
}

} // namespace hl
