// Addresses of one unit to frames: joins line table, functions, inlined calls and names.
//
// One resolver per thread of work: the DwarfFile and the name tables are shared, all decoding caches are its
// own. Frames it yields may have an empty function (code between functions, hand-written assembly): the
// caller fills those from the symbol table.
#pragma once

#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include "symbols/demangle.h"
#include "symbols/dwarf_file.h"
#include "symbols/dwarf_functions.h"
#include "symbols/dwarf_lines.h"
#include "symbols/string_pool.h"

namespace hl {

class DwarfResolver {
 public:
  DwarfResolver(const DwarfFile& file, StringPool& pool, Demangler& demangler, WorkBudget& budget)
      : file_(file), pool_(pool), demangler_(demangler), reader_(budget) {}

  // Makes `unit` current. False if it cannot be read.
  bool enter_unit(const DwarfUnit& unit);
  // Appends the frames at the address, innermost first; addresses of one unit must ascend. Appends nothing if
  // neither a function nor a line covers it.
  void append_frames(uint64_t address, std::vector<Frame>& frames);

 private:
  struct FunctionName {
    StringId function = StringId::kEmpty;
    StringId linkage_name = StringId::kEmpty;
  };
  FunctionName function_name(uint64_t die_offset);
  StringId file_name(uint64_t file_index);

  const DwarfFile& file_;
  StringPool& pool_;
  Demangler& demangler_;
  DwarfReader reader_;

  const UnitContext* unit_ = nullptr;
  std::optional<LineTable> lines_;
  std::optional<FunctionIndex> functions_;
  uint64_t tree_function_ = 0;
  std::optional<InlineTree> tree_;
  std::unordered_map<uint64_t, StringId> file_names_;         // of the current unit
  std::unordered_map<uint64_t, FunctionName> function_names_; // by DIE offset in file_.info
};

} // namespace hl
