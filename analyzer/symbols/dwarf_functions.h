// The functions of one unit and the inlined calls inside them: address -> chain of DIEs.
//
// Two levels, because most units and most functions of a program are never asked for. The function index is
// one pass over the unit that jumps over children by DW_AT_sibling; only if an address is in none of the
// functions so found, a second pass looks everywhere (nested functions of C, Fortran, local classes). The
// inlined calls of a function are read when an address in it is asked for. DIEs are walked with a cursor,
// without recursion.
//
// dwarf_getscopes of libdw was rejected: it is slow and returned nothing for addresses whose function a plain
// walk finds.
#pragma once

#include <cstdint>
#include <queue>
#include <vector>

#include "symbols/dwarf_file.h"

namespace hl {

// A concrete function or an inlined call of one.
struct CodeScope {
  uint64_t die_offset = 0;
  int32_t parent = -1; // index of the scope this one was inlined into; -1: the function itself
  uint32_t call_file = 0;
  uint32_t call_line = 0;
  uint32_t call_column = 0;
};

// The inlined calls of one function. Addresses must be asked for in ascending order.
class InlineTree {
 public:
  InlineTree(DwarfReader& reader, const UnitContext& unit, uint64_t function_die);
  // Index of the innermost scope that covers the address; 0 is the function.
  int32_t innermost_at(uint64_t address);
  const CodeScope& scope(int32_t index) const { return scopes_[static_cast<size_t>(index)]; }

 private:
  struct Extent {
    uint64_t begin;
    uint64_t end;
    int32_t scope;
    bool operator<(const Extent& other) const { return scope < other.scope; }
  };
  std::vector<CodeScope> scopes_;
  std::vector<Extent> extents_; // sorted by begin
  size_t next_extent_ = 0;
  // Extents that have begun. Scopes are numbered in DIE order, so the greatest that has not ended is the
  // innermost; of overlapping siblings the later counts, as in llvm-symbolizer.
  std::priority_queue<Extent> open_;
};

class FunctionIndex {
 public:
  FunctionIndex(DwarfReader& reader, const UnitContext& unit);
  // DIE offset of the function that covers the address; 0 if none does.
  uint64_t find(uint64_t address);
  // All code ranges of functions, for units whose root does not say what it covers.
  void append_code_ranges(std::vector<CodeRange>& result) const;

 private:
  struct Function {
    uint64_t begin;
    uint64_t end;
    uint64_t die_offset;
    uint64_t latest_end; // of this and all functions before it
  };
  void scan(bool use_siblings);
  uint64_t lookup(uint64_t address) const;

  DwarfReader& reader_;
  const UnitContext& unit_;
  bool scanned_fully_ = false;
  std::vector<Function> functions_;
};

} // namespace hl
