// See fragmentation_study.h.
#include "fragmentation/fragmentation_study.h"

#include <algorithm>
#include <map>
#include <unordered_set>

#include "analyses/heap_report.h"
#include "analyses/memory_moment.h"

namespace hl {
namespace {

constexpr size_t kMostSamples = 64;
// Samples beside the one that was asked for cost time: of a very large heap fewer are looked at, and split
// into accounts only while that is cheap.
constexpr uint64_t kMostBlocksVisited = 24u << 20, kMostBlocksSplit = 2u << 20;
constexpr uint64_t kLargeBlock = 128u << 10; // glibc's threshold for mappings of their own, before it rises

// One block for each stretch of 64 KiB, and all large ones: enough to tell which mappings are the
// allocator's.
std::vector<HeapBlock> some_blocks(const Replay& replay) {
  constexpr uint64_t kStretch = 64u << 10;
  std::vector<HeapBlock> blocks;
  std::unordered_set<uint64_t> seen;
  uint64_t last = UINT64_MAX;
  replay.live().for_each([&](const LiveBlock& block) {
    const uint64_t stretch = block.address / kStretch;
    const bool large = block.size >= kStretch;
    if (!large && (stretch == last || !seen.insert(stretch).second))
      return;
    last = large ? last : stretch;
    blocks.push_back(
        {block.address, block.size, replay.usable_bytes(block), block.birth_ticks, block.site, block.thread});
  });
  std::sort(blocks.begin(), blocks.end(),
            [](const HeapBlock& a, const HeapBlock& b) { return a.address < b.address; });
  return blocks;
}

uint64_t footprint_of(const RegionMap& map) {
  uint64_t bytes = 0;
  for (const Region& region : map.regions)
    bytes += region.is_allocator() ? region.rss : 0;
  return bytes;
}

std::vector<SlackClass> classes_of(std::span<const HeapBlock> blocks) {
  std::map<uint64_t, SlackClass> classes; // by to_usable
  for (const HeapBlock& block : blocks) {
    uint64_t from = block.usable, to = block.usable;
    if (block.usable > 1024) { // powers of two
      to = uint64_t{1024};
      while (to < block.usable && to < (uint64_t{1} << 62))
        to *= 2;
      from = to / 2 + 1;
    }
    SlackClass& entry = classes[to];
    entry.from_usable = from;
    entry.to_usable = to;
    ++entry.blocks;
    entry.requested += block.size;
    entry.slack += block.usable > block.size ? block.usable - block.size : 0;
  }
  std::vector<SlackClass> sorted;
  for (const auto& [to, entry] : classes)
    if (entry.slack != 0)
      sorted.push_back(entry);
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const SlackClass& a, const SlackClass& b) { return a.slack > b.slack; });
  return sorted;
}

} // namespace

class FragmentationStudy::Maker {
 public:
  Maker(const Trace& trace, FragmentationStudy& study)
      : trace_(trace), study_(study), allocator_(allocator_of(trace.metadata())) {}

  void visit(bool chosen, const ResidencySample& sample, const Replay& replay) {
    const ReplayResult& result = replay.result();
    HeapPoint point{.ticks = sample.ticks,
                    .live_bytes = result.live_bytes,
                    .live_blocks = result.live_blocks,
                    .cause = sample.cause,
                    .consistent = sample.consistent()};
    if (chosen) {
      study_.whole_ = sample;
      study_.whole_->smaps.clear();
      study_.blocks_ = blocks_by_address(replay);
      study_.map_ = make_region_map(sample, region_sources(trace_, replay, study_.blocks_));
      look_closer(replay);
      study_.sample = sample;
      study_.sample->smaps.clear();
      study_.sample->pages.clear();
      study_.sample->own.clear();
      study_.ticks = sample.ticks;
      point.footprint_bytes = footprint_of(study_.map_);
      point.accounts = study_.accounts.small.bytes;
      study_.point = study_.points.size();
    } else {
      visited_ += result.live_blocks;
      if (visited_ > kMostBlocksVisited)
        return;
      const bool split = split_ + result.live_blocks <= kMostBlocksSplit;
      const std::vector<HeapBlock> blocks = split ? blocks_by_address(replay) : some_blocks(replay);
      const RegionMap map = make_region_map(sample, region_sources(trace_, replay, blocks));
      point.footprint_bytes = footprint_of(map);
      if (split) {
        split_ += result.live_blocks;
        const PageSources sources{.blocks = blocks,
                                  .sample = &sample,
                                  .map = &map,
                                  .allocator = allocator_,
                                  .used = replay.used_pages(),
                                  .removed = {}};
        point.accounts = account_pages(sources).small.bytes;
      }
    }
    study_.points.push_back(point);
  }

  // The trace has no samples: what the blocks alone tell.
  void visit_without_sample(const Replay& replay, uint64_t ticks) {
    study_.blocks_ = blocks_by_address(replay);
    study_.map_ = assumed_map(study_.blocks_, 4096);
    look_closer(replay);
    study_.ticks = ticks;
  }

 private:
  void look_closer(const Replay& replay) {
    study_.live_bytes = replay.result().live_bytes;
    study_.live_blocks = replay.result().live_blocks;
    study_.ghosts_ = replay.ghosts()->sorted();
    study_.forgotten_ghosts = replay.ghosts()->forgotten();
    if (replay.used_pages() != nullptr)
      study_.used_ = *replay.used_pages();
    study_.accounts.allocator = allocator_;
    study_.accounts = account_pages(study_.sources());
    study_.slack_classes = classes_of(study_.blocks_);
    if (allocator_ == AllocatorKind::glibc)
      look_at_arenas();
  }

  void look_at_arenas() {
    std::map<uint64_t, ArenaUse> arenas; // by heap; the main one is 0
    for (const RegionAccounts& accounts : study_.accounts.regions) {
      const Region& region = study_.map_.regions[accounts.region];
      if (region.kind != RegionKind::heap_brk && region.kind != RegionKind::heap_arena)
        continue;
      const uint64_t heap =
          region.kind == RegionKind::heap_brk ? 0 : region.start & ~(glibc_layout::kHeapBytes - 1);
      ArenaUse& arena = arenas[heap];
      arena.start = heap == 0 ? region.start : heap;
      arena.bytes.add(accounts.bytes);
    }
    for (const auto& [heap, arena] : arenas)
      study_.arenas.push_back(arena);
    for (const HeapBlock& block : study_.blocks_)
      if (block.size >= kLargeBlock && block.usable % 16 != 0) {
        ++study_.large_in_heap_blocks;
        study_.large_in_heap_bytes += block.size;
      }
  }

  const Trace& trace_;
  FragmentationStudy& study_;
  AllocatorKind allocator_;
  uint64_t visited_ = 0, split_ = 0;
};

PageSources FragmentationStudy::sources() const {
  return {.blocks = blocks_,
          .sample = whole_ ? &*whole_ : nullptr,
          .map = &map_,
          .allocator = accounts.allocator,
          .used = used_ ? &*used_ : nullptr,
          .removed = {}};
}

std::unique_ptr<FragmentationStudy> FragmentationStudy::make(const Trace& trace, const Moment& moment,
                                                             const ProgressCallback& progress,
                                                             std::string& why) {
  const auto limits = resolve_moment(trace, moment, why);
  if (!limits)
    return nullptr;
  std::unique_ptr<FragmentationStudy> study(new FragmentationStudy);
  Maker maker(trace, *study);
  const std::vector<ResidencySample> listed = list_residency_samples(trace);
  const auto chosen = sample_for(listed, moment, *limits);
  const bool wants_used_pages = allocator_of(trace.metadata()) != AllocatorKind::glibc;
  ReplayOptions options;
  options.ghosts = true;
  options.used_pages = wants_used_pages;
  study->samples = listed.size();
  if (chosen) {
    const std::vector<size_t> looked_at = spread_samples(listed, kMostSamples, chosen);
    study->heap = replay_samples(
        trace, listed, looked_at,
        [&](size_t index, const ResidencySample& sample, const Replay& replay) {
          maker.visit(index == *chosen, sample, replay);
        },
        true, progress, std::move(options));
  }
  if (!study->sample) { // none, or the one for this moment is damaged
    study->without_sample = chosen ? "the sample of that moment is damaged" : why_no_samples(trace);
    study->points.clear();
    ReplayOptions again;
    again.ghosts = true;
    again.used_pages = wants_used_pages;
    study->heap = replay_heap(trace, *limits, progress, std::move(again));
    maker.visit_without_sample(*study->heap.replay, study->heap.result().last_ticks);
  }
  study->measures = measure(study->points, study->heap.result().peak_bytes);
  return study;
}

std::vector<StackId> FragmentationStudy::stacks() const {
  std::vector<StackId> stacks = allocating_stacks(heap.result());
  std::unordered_set<StackId> frees;
  for (const Ghost& ghost : ghosts_)
    if (ghost.free_stack != 0 && frees.insert(ghost.free_stack).second)
      stacks.push_back(ghost.free_stack);
  return stacks;
}

std::vector<Charge> FragmentationStudy::blame(std::span<const uint32_t> owner_of_site, size_t owners) const {
  return blame_pages(sources(), owner_of_site, owners, ghosts_);
}

WhatIf FragmentationStudy::apart(const std::vector<bool>& moved_sites) const {
  return place_apart(sources(), [&](const HeapBlock& block) {
    return block.site < moved_sites.size() && moved_sites[block.site];
  });
}

} // namespace hl
