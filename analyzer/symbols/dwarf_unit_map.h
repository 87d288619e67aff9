// Which unit of a DWARF file covers an address.
//
// Built from .debug_aranges where producers wrote it, and from the root DIE's ranges for the units that it
// leaves out (clang writes none; objects of both kinds are linked together). Units whose root says nothing
// are scanned for functions, but only once an address is found nowhere else.
#pragma once

#include <cstdint>
#include <vector>

#include "symbols/dwarf_file.h"

namespace hl {

class DwarfUnitMap {
 public:
  void build(DwarfReader& reader, const DwarfFile& file);
  // Index into file.units, or -1.
  int64_t find(DwarfReader& reader, const DwarfFile& file, uint64_t address);

 private:
  struct Extent {
    uint64_t begin;
    uint64_t end;
    uint32_t unit;
    uint64_t latest_end; // of this and all extents before it
  };
  void read_aranges(const DwarfFile& file, std::vector<bool>& has_aranges);
  void scan_silent_units(DwarfReader& reader, const DwarfFile& file);
  void sort();
  int64_t lookup(uint64_t address) const;

  std::vector<Extent> extents_;
  std::vector<uint32_t> silent_units_; // neither aranges nor ranges at the root, but children
};

} // namespace hl
