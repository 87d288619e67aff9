// Walks over the DIEs of a unit for functions and of a function for inlined calls.
#include "symbols/dwarf_functions.h"

#include <algorithm>

namespace hl {

using namespace dwarf;

namespace {

// Tags whose children can define functions in every compiler's output. Types can too, in languages with local
// classes; the full scan looks there.
bool may_hold_functions(uint16_t tag) {
  return tag == kTagCompileUnit || tag == kTagPartialUnit || tag == kTagSkeletonUnit ||
         tag == kTagNamespace || tag == kTagModule;
}

struct PcAttributes {
  AttributeValue low_pc, high_pc, ranges, sibling;

  void take(uint16_t name, const AttributeValue& value) {
    switch (name) {
    case kAtLowPc:
      low_pc = value;
      break;
    case kAtHighPc:
      high_pc = value;
      break;
    case kAtRanges:
      ranges = value;
      break;
    case kAtSibling:
      sibling = value;
      break;
    default:
      break;
    }
  }
};

// Moves the cursor to the DIE's sibling if its attribute names a later DIE of the same unit.
bool jump_to_sibling(DwarfReader& reader, const UnitContext& unit, const AttributeValue& sibling,
                     ByteCursor& cursor) {
  if (!sibling)
    return false;
  DieReference target = reader.reference(unit, sibling);
  if (target.file != unit.file || target.offset <= cursor.position() || target.offset > unit.unit->end) {
    return false;
  }
  cursor.seek(target.offset);
  return true;
}

} // namespace

FunctionIndex::FunctionIndex(DwarfReader& reader, const UnitContext& unit) : reader_(reader), unit_(unit) {
  scan(true);
}

void FunctionIndex::scan(bool use_siblings) {
  functions_.clear();
  const DwarfUnit& unit = *unit_.unit;
  const AbbreviationTable& table = *unit_.abbreviations;
  ByteCursor cursor(unit_.file->info, unit.die_offset, unit.end);
  std::vector<CodeRange> ranges;
  uint64_t charged_to = cursor.position();
  uint64_t depth = 0;
  while (!cursor.at_end()) {
    // Charged by pieces: the walk itself is bounded by the unit, the sum of all walks by the budget.
    if (cursor.position() - charged_to > 4096) {
      if (!reader_.budget().spend(4096))
        break;
      charged_to = cursor.position();
    }
    uint64_t die_offset = cursor.position();
    uint64_t code = cursor.uleb();
    if (code == 0) {
      if (depth <= 1)
        break;
      --depth;
      continue;
    }
    const Abbreviation* abbreviation = table.find(code);
    if (abbreviation == nullptr)
      break;
    bool is_function = abbreviation->tag == kTagSubprogram && abbreviation->has_pc;
    bool wants_jump = use_siblings && abbreviation->has_children && abbreviation->has_sibling &&
                      !may_hold_functions(abbreviation->tag);
    PcAttributes pc;
    if (!is_function && !wants_jump && abbreviation->fixed_bytes >= 0) {
      cursor.skip(static_cast<uint64_t>(abbreviation->fixed_bytes));
    } else {
      read_attributes(cursor, unit, table, *abbreviation,
                      [&](uint16_t name, const AttributeValue& value) { pc.take(name, value); });
    }
    if (cursor.failed())
      break;
    if (is_function) {
      ranges.clear();
      reader_.append_ranges(unit_, pc.low_pc, pc.high_pc, pc.ranges, ranges);
      for (const CodeRange& range : ranges)
        functions_.push_back({range.begin, range.end, die_offset, 0});
    }
    if (abbreviation->has_children && !(wants_jump && jump_to_sibling(reader_, unit_, pc.sibling, cursor))) {
      ++depth;
    } else if (depth == 0) {
      break;
    }
  }
  std::stable_sort(functions_.begin(), functions_.end(),
                   [](const Function& a, const Function& b) { return a.begin < b.begin; });
  uint64_t latest_end = 0;
  for (Function& function : functions_) {
    latest_end = std::max(latest_end, function.end);
    function.latest_end = latest_end;
  }
  scanned_fully_ = !use_siblings;
}

uint64_t FunctionIndex::lookup(uint64_t address) const {
  auto after = std::upper_bound(functions_.begin(), functions_.end(), address,
                                [](uint64_t a, const Function& function) { return a < function.begin; });
  for (int tries = 0; after != functions_.begin() && tries < 64; ++tries) {
    --after;
    if (address < after->end)
      return after->die_offset;
    if (address >= after->latest_end)
      break;
  }
  return 0;
}

uint64_t FunctionIndex::find(uint64_t address) {
  uint64_t found = lookup(address);
  if (found == 0 && !scanned_fully_) {
    scan(false);
    found = lookup(address);
  }
  return found;
}

void FunctionIndex::append_code_ranges(std::vector<CodeRange>& result) const {
  for (const Function& function : functions_)
    result.push_back({function.begin, function.end});
}

InlineTree::InlineTree(DwarfReader& reader, const UnitContext& unit_context, uint64_t function_die) {
  const DwarfUnit& unit = *unit_context.unit;
  const AbbreviationTable& table = *unit_context.abbreviations;
  CodeScope function;
  function.die_offset = function_die;
  scopes_.push_back(function);
  ByteCursor cursor(unit_context.file->info, function_die, unit.end);
  std::vector<CodeRange> ranges;
  std::vector<int32_t> open_scopes; // the scope around each open level of DIEs
  int32_t around = 0;
  uint64_t foreign_depth = 0; // levels inside a nested function, whose inlined calls are not ours
  uint64_t charged_to = cursor.position();
  while (!cursor.at_end()) {
    if (cursor.position() - charged_to > 4096) {
      if (!reader.budget().spend(4096))
        break;
      charged_to = cursor.position();
    }
    uint64_t die_offset = cursor.position();
    uint64_t code = cursor.uleb();
    if (code == 0) {
      if (foreign_depth > 0) {
        --foreign_depth;
      } else if (open_scopes.empty()) {
        break;
      } else {
        around = open_scopes.back();
        open_scopes.pop_back();
      }
      if (foreign_depth == 0 && open_scopes.empty())
        break;
      continue;
    }
    const Abbreviation* abbreviation = table.find(code);
    if (abbreviation == nullptr)
      break;
    bool is_root = die_offset == function_die;
    bool is_inlined = abbreviation->tag == kTagInlinedSubroutine && foreign_depth == 0;
    bool is_nested_function = abbreviation->tag == kTagSubprogram && !is_root;
    bool wants_sibling = is_nested_function && abbreviation->has_sibling;
    CodeScope scope;
    PcAttributes pc;
    if (!is_inlined && !wants_sibling && abbreviation->fixed_bytes >= 0) {
      cursor.skip(static_cast<uint64_t>(abbreviation->fixed_bytes));
    } else {
      read_attributes(cursor, unit, table, *abbreviation, [&](uint16_t name, const AttributeValue& value) {
        switch (name) {
        case kAtCallFile:
          scope.call_file = static_cast<uint32_t>(value.value);
          break;
        case kAtCallLine:
          scope.call_line = static_cast<uint32_t>(value.value);
          break;
        case kAtCallColumn:
          scope.call_column = static_cast<uint32_t>(value.value);
          break;
        default:
          pc.take(name, value);
          break;
        }
      });
    }
    if (cursor.failed())
      break;
    int32_t inner = around;
    if (is_inlined && scopes_.size() < INT32_MAX) {
      scope.die_offset = die_offset;
      scope.parent = around;
      inner = static_cast<int32_t>(scopes_.size());
      scopes_.push_back(scope);
      ranges.clear();
      reader.append_ranges(unit_context, pc.low_pc, pc.high_pc, pc.ranges, ranges);
      for (const CodeRange& range : ranges)
        extents_.push_back({range.begin, range.end, inner});
    }
    if (abbreviation->has_children) {
      if (is_nested_function && jump_to_sibling(reader, unit_context, pc.sibling, cursor))
        continue;
      if (foreign_depth > 0 || is_nested_function) {
        ++foreign_depth;
      } else {
        open_scopes.push_back(around);
        around = inner;
      }
    } else if (is_root) {
      break;
    }
  }
  std::stable_sort(extents_.begin(), extents_.end(),
                   [](const Extent& a, const Extent& b) { return a.begin < b.begin; });
}

int32_t InlineTree::innermost_at(uint64_t address) {
  while (next_extent_ < extents_.size() && extents_[next_extent_].begin <= address) {
    open_.push(extents_[next_extent_++]);
  }
  while (!open_.empty() && open_.top().end <= address)
    open_.pop();
  return open_.empty() ? 0 : open_.top().scope;
}

} // namespace hl
