// See heap_history.h.
#include "replay/heap_history.h"

#include <algorithm>
#include <bit>

namespace hl {
namespace {

constexpr uint64_t kThroughRealloc = uint64_t{1} << 63;

unsigned size_class_of(uint64_t size) {
  return static_cast<unsigned>(std::bit_width(size <= 1 ? 0 : size - 1));
}

// Entries whose key lies in [first, last].
std::span<const Tally> range_of(const std::vector<Tally>& sorted, uint64_t first, uint64_t last) {
  const auto begin = std::lower_bound(sorted.begin(), sorted.end(), first,
                                      [](const Tally& tally, uint64_t key) { return tally.key < key; });
  auto end = begin;
  while (end != sorted.end() && end->key <= last)
    ++end;
  return {begin, end};
}

} // namespace

Census::Census(const LiveTable& live, std::span<const uint64_t> boundaries) {
  TallyTable tallies;
  live.for_each([&](const LiveBlock& block) {
    const auto generation = static_cast<uint64_t>(
        std::lower_bound(boundaries.begin(), boundaries.end(), block.birth_ticks) - boundaries.begin());
    tallies.add(uint64_t{block.site} << 8 | generation, block.size);
  });
  cells_ = tallies.take_sorted();
}

std::vector<Census::Cohort> Census::cohorts_of(uint32_t site) const {
  std::vector<Cohort> cohorts;
  for (const Tally& cell : range_of(cells_, uint64_t{site} << 8, uint64_t{site} << 8 | 0xff))
    cohorts.push_back({static_cast<uint32_t>(cell.key & 0xff), cell.blocks, cell.bytes});
  return cohorts;
}

HeapHistory::HeapHistory(ReplayOptions options) : options_(std::move(options)) {
  if (options_.boundaries.size() > ReplayOptions::kMaxBoundaries)
    options_.boundaries.resize(ReplayOptions::kMaxBoundaries);
}

void HeapHistory::old_block_died(const LiveBlock& block) {
  if (block.site >= old_deaths_.size())
    old_deaths_.resize(std::max<size_t>(block.site + 1, old_deaths_.size() * 2));
  OldDeaths& deaths = old_deaths_[block.site];
  if (deaths.blocks == 0)
    died_old_.push_back(block.site);
  ++deaths.blocks;
  deaths.bytes += block.size;
}

void HeapHistory::block_freed(const LiveBlock& block, StackId stack, bool through_realloc) {
  if (!options_.frees || block.site >= 1u << 31)
    return;
  if (stack != 0)
    by_stack_.add((through_realloc ? kThroughRealloc : 0) | uint64_t{block.site} << 32 | stack, block.size);
  if (!through_realloc)
    kin_.add(uint64_t{block.site} << 32 | uint64_t{block.thread} << 8 | size_class_of(block.size),
             block.size);
}

void HeapHistory::pass_boundary(const ReplayResult& result, const LiveTable& live) {
  const auto boundary = static_cast<uint32_t>(passed_);
  const size_t sites = result.sites.size();
  last_note_.resize(sites);
  noted_calls_.resize(sites);
  old_deaths_.resize(std::max(sites, old_deaths_.size()));
  for (uint32_t site = 0; site < sites; ++site) {
    const SiteTotals& totals = result.sites[site];
    const OldDeaths deaths = old_deaths_[site];
    const uint64_t births = totals.allocation_calls - noted_calls_[site];
    if (births == 0 && deaths.blocks == 0)
      continue;
    const SiteNote& before = notes_[last_note_[site]];
    SiteNote note;
    note.live_bytes = totals.live_bytes;
    note.live_blocks = totals.live_blocks;
    note.settled_bytes = before.live_bytes - deaths.bytes;
    note.settled_blocks = before.live_blocks - deaths.blocks;
    note.births = static_cast<uint32_t>(std::min<uint64_t>(births, UINT32_MAX));
    note.boundary = boundary;
    note.previous = last_note_[site];
    last_note_[site] = static_cast<uint32_t>(notes_.size());
    noted_calls_[site] = totals.allocation_calls;
    notes_.push_back(note);
  }
  for (const uint32_t site : died_old_)
    old_deaths_[site] = {};
  died_old_.clear();
  process_.push_back(
      {options_.boundaries[passed_], result.live_bytes, result.live_blocks, result.allocation_calls});
  if (std::binary_search(options_.censuses.begin(), options_.censuses.end(), boundary))
    censuses_.emplace_back(live, options_.boundaries);
  generation_start_ticks_ = options_.boundaries[passed_];
  ++passed_;
}

void HeapHistory::finish(const ReplayResult& result, const LiveTable& live) {
  while (passed_ < options_.boundaries.size())
    pass_boundary(result, live);
  at_end_ = Census(live, options_.boundaries);
  by_stack_sorted_ = by_stack_.take_sorted();
  kin_sorted_ = kin_.take_sorted();
}

std::vector<SiteNote> HeapHistory::notes_of(uint32_t site) const {
  std::vector<SiteNote> notes(passed_);
  if (site >= last_note_.size())
    return notes;
  size_t until = passed_; // boundaries from here on are filled in
  for (uint32_t at = last_note_[site]; at != 0; at = notes_[at].previous) {
    const SiteNote& known = notes_[at];
    SiteNote unchanged = known;
    unchanged.settled_bytes = known.live_bytes;
    unchanged.settled_blocks = known.live_blocks;
    unchanged.births = 0;
    for (size_t b = known.boundary + 1; b < until; ++b) {
      notes[b] = unchanged;
      notes[b].boundary = static_cast<uint32_t>(b);
    }
    notes[known.boundary] = known;
    until = known.boundary;
  }
  return notes;
}

std::vector<FreedByStack> HeapHistory::freed_by_stack(uint32_t site) const {
  std::vector<FreedByStack> freed;
  for (const uint64_t flag : {uint64_t{0}, kThroughRealloc}) {
    const uint64_t first = flag | uint64_t{site} << 32;
    for (const Tally& tally : range_of(by_stack_sorted_, first, first | UINT32_MAX))
      freed.push_back({static_cast<StackId>(tally.key), flag != 0, tally.blocks, tally.bytes});
  }
  std::stable_sort(freed.begin(), freed.end(),
                   [](const FreedByStack& a, const FreedByStack& b) { return a.blocks > b.blocks; });
  return freed;
}

std::vector<FreedKin> HeapHistory::freed_kin(uint32_t site) const {
  std::vector<FreedKin> freed;
  const uint64_t first = uint64_t{site} << 32;
  for (const Tally& tally : range_of(kin_sorted_, first, first | UINT32_MAX))
    freed.push_back({static_cast<uint32_t>(tally.key >> 8 & 0xffffff),
                     static_cast<uint32_t>(tally.key & 0xff), tally.blocks, tally.bytes});
  return freed;
}

} // namespace hl
