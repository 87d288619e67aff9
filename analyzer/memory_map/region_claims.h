// Who says what of which addresses: claims by rank, made from everything that is known beside the kernel's
// own list of mappings. region_map.cpp gives each byte to the claim that ranks highest there.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "memory_map/managed_heaps.h"
#include "memory_map/region_map.h"

namespace hl {

// From weak to strong.
enum class ClaimRank : uint8_t {
  base,         // what the mapping is without further knowledge
  main_tls,     // the mapping that holds the main thread's control block
  call,         // a recorded mmap
  module,       // .bss, by the module's recorded extent
  mapped_block, // one of malloc's blocks with a mapping of its own
  arena,        // a slot of glibc's
  thread,       // a recorded thread's stack
  given_name,   // a recorded prctl
  own,          // the recording's
};

// Which mappings a claim may speak of.
enum class ClaimScope : uint8_t { unnamed, heap_too /* and [heap] */, any };

struct Claim {
  uint64_t start, end;
  ClaimRank rank;
  ClaimScope scope;
  RegionKind kind;
  RegionEvidence evidence;
  uint32_t site = 0;
  uint32_t tid = 0;
  std::string name = {};
};

// Claims in the order of their starts.
std::vector<Claim> collect_claims(const ResidencySample& sample, const RegionSources& sources,
                                  std::span<const Vma> vmas);

// Whether a live block lies in [start, end) that has no mapping of its own.
bool holds_shared_blocks(const ResidencySample& sample, const RegionSources& sources, uint64_t start,
                         uint64_t end);

} // namespace hl
