// Frames of an address, and names along abstract_origin and specification chains.
#include "symbols/dwarf_resolver.h"

namespace hl {

using namespace dwarf;

namespace {
// Inlined instance -> abstract instance -> declaration in the class -> ... Honest chains have three links.
constexpr int kMaxNameLinks = 16;
// Deeper inlining than any compiler does; a hostile file could nest as deep as it is long.
constexpr int kMaxInlineDepth = 512;
} // namespace

bool DwarfResolver::enter_unit(const DwarfUnit& unit) {
  tree_.reset();
  functions_.reset();
  lines_.reset();
  file_names_.clear();
  unit_ = reader_.unit_context(file_, unit);
  if (unit_ == nullptr)
    return false;
  lines_.emplace();
  if (!lines_->load(reader_, *unit_))
    lines_.reset();
  functions_.emplace(reader_, *unit_);
  return true;
}

void DwarfResolver::append_frames(uint64_t address, std::vector<Frame>& frames) {
  const LineRow* row = lines_ ? lines_->find(address) : nullptr;
  uint64_t function = functions_->find(address);
  Frame frame;
  frame.source = NameSource::kDebugInfo;
  if (row != nullptr) {
    frame.file = file_name(row->file);
    frame.line = row->line;
    frame.column = row->column;
  }
  if (function == 0) {
    if (row != nullptr)
      frames.push_back(frame);
    return;
  }
  if (!tree_ || tree_function_ != function) {
    tree_.emplace(reader_, *unit_, function);
    tree_function_ = function;
  }
  int32_t index = tree_->innermost_at(address);
  for (int depth = 0; depth < kMaxInlineDepth; ++depth) {
    const CodeScope& scope = tree_->scope(index);
    FunctionName name = function_name(scope.die_offset);
    frame.function = name.function;
    frame.linkage_name = name.linkage_name;
    frame.inlined = scope.parent >= 0;
    // Its DIE is out of reach, as when dwz's common file is missing; the function itself gets its symbol's
    // name.
    if (frame.inlined && frame.function == StringId::kEmpty)
      frame.function = pool_.intern("??");
    frames.push_back(frame);
    if (scope.parent < 0)
      break;
    frame.file = file_name(scope.call_file);
    frame.line = scope.call_line;
    frame.column = scope.call_column;
    index = scope.parent;
  }
  frames.back().inlined = false;
}

StringId DwarfResolver::file_name(uint64_t file_index) {
  if (!lines_)
    return StringId::kEmpty;
  auto [slot, is_new] = file_names_.try_emplace(file_index);
  if (is_new)
    slot->second = pool_.intern(lines_->file_path(file_index));
  return slot->second;
}

DwarfResolver::FunctionName DwarfResolver::function_name(uint64_t die_offset) {
  auto [slot, is_new] = function_names_.try_emplace(die_offset);
  if (!is_new)
    return slot->second;
  std::string_view name;
  std::string_view linkage_name;
  DieReference die{&file_, die_offset};
  for (int link = 0; link < kMaxNameLinks && die.file != nullptr && linkage_name.empty(); ++link) {
    const DwarfUnit* unit = die.file->unit_at(die.offset);
    const UnitContext* context = unit != nullptr ? reader_.unit_context(*die.file, *unit) : nullptr;
    if (context == nullptr)
      break;
    ByteCursor cursor(die.file->info, die.offset, unit->end);
    const Abbreviation* abbreviation = context->abbreviations->find(cursor.uleb());
    if (abbreviation == nullptr)
      break;
    AttributeValue name_value, linkage_value, origin;
    read_attributes(cursor, *unit, *context->abbreviations, *abbreviation,
                    [&](uint16_t attribute, const AttributeValue& value) {
                      switch (attribute) {
                      case kAtName:
                        name_value = value;
                        break;
                      case kAtLinkageName:
                      case kAtMipsLinkageName:
                        linkage_value = value;
                        break;
                      case kAtAbstractOrigin:
                      case kAtSpecification:
                        origin = value;
                        break;
                      default:
                        break;
                      }
                    });
    if (cursor.failed())
      break;
    if (name.empty())
      name = reader_.string(*context, name_value);
    if (linkage_name.empty())
      linkage_name = reader_.string(*context, linkage_value);
    die = origin ? reader_.reference(*context, origin) : DieReference{};
  }
  FunctionName result;
  StringId plain = pool_.intern(name.empty() ? linkage_name : name);
  if (linkage_name.empty()) {
    result.function = plain;
  } else {
    // A C function with an assembler name (glibc's __GI_...) does not demangle: its own name is shown.
    StringId linkage = pool_.intern(linkage_name);
    result.function = demangler_.demangled(linkage, plain);
    if (linkage != result.function)
      result.linkage_name = linkage;
  }

  slot->second = result;
  return result;
}

} // namespace hl
