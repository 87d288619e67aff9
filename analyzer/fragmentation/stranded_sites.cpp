// See stranded_sites.h.
#include "fragmentation/stranded_sites.h"

#include <numeric>

#include "fragmentation/blame.h"

namespace hl {

ReplayOptions stranded_options(const Trace& trace) {
  ReplayOptions options;
  options.used_pages = allocator_of(trace.metadata()) != AllocatorKind::glibc;
  return options;
}

std::optional<std::vector<uint64_t>> stranded_by_site(const Trace& trace, const ResidencySample& sample,
                                                      const Replay& replay) {
  if (!sample.has_pages() || replay.result().live_blocks > kMostBlocksForStranded)
    return {};
  const std::vector<HeapBlock> blocks = blocks_by_address(replay);
  const RegionMap map = make_region_map(sample, region_sources(trace, replay, blocks));
  std::vector<uint32_t> sites(replay.result().sites.size());
  std::iota(sites.begin(), sites.end(), 0);
  const std::vector<Charge> charges = blame_pages({.blocks = blocks,
                                                   .sample = &sample,
                                                   .map = &map,
                                                   .allocator = allocator_of(trace.metadata()),
                                                   .used = replay.used_pages()},
                                                  sites, sites.size());
  std::vector<uint64_t> bytes;
  bytes.reserve(charges.size());
  for (const Charge& charge : charges)
    bytes.push_back(charge.stranded_bytes());
  return bytes;
}

} // namespace hl
