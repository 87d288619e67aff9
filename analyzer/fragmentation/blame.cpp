// See blame.h.
#include "fragmentation/blame.h"

#include <algorithm>
#include <unordered_map>

#include "fragmentation/page_sweep.h"

namespace hl {
namespace {

// What a block takes where blocks of its kind are packed: its chunk, header included.
uint64_t header_bytes(AllocatorKind allocator, const HeapBlock& block) {
  if (allocator != AllocatorKind::glibc)
    return 0;
  return block.usable % 16 != 0 ? glibc_layout::kHeaderBytes : glibc_layout::kMappedHeaderBytes;
}

class Blamer : public PageVisitor {
 public:
  Blamer(const PageSources& sources, std::span<const uint32_t> owner_of_site, size_t owners,
         std::span<const Ghost> ghosts)
      : sources_(sources), owner_of_site_(owner_of_site), ghosts_(ghosts), charges_(owners),
        seen_in_(owners, 0), room_(owners, 0), makers_(ghosts.empty() ? 0 : owners) {
    reach_ = 0;
    for (const Ghost& ghost : ghosts)
      reach_ = std::max(reach_, ghost.usable);
  }

  void piece(const HeapBlock& block, uint64_t requested, uint64_t slack, bool swapped) override {
    if (!swapped)
      room_[owner_of(block)] += requested + slack;
  }

  void block(const HeapBlock& block, uint64_t, bool starts_here) override {
    if (starts_here)
      room_[owner_of(block)] += header_bytes(sources_.allocator, block);
  }

  void page(const SweptPage& page) override {
    if (!page.kept())
      return;
    if (page.region != unit_.region || page.run_start != unit_.start) {
      close_unit();
      unit_ = {page.region, page.run_start, page.first_keeper, page.last_keeper, false, 0, 0, 0};
      holes_.clear();
    }
    unit_.first = std::min(unit_.first, page.first_keeper);
    unit_.last = std::max(unit_.last, page.last_keeper);
    unit_.table |= page.table;
    unit_.stranded += page.free;
    unit_.resident += page.end - page.start;
    ++unit_.pages;
    if (page.free != 0 && !ghosts_.empty())
      find_holes(page);
  }

  std::vector<Charge> finish() {
    close_unit();
    const uint64_t page_bytes = sources_.sample != nullptr ? sources_.sample->page_bytes : 4096;
    for (size_t owner = 0; owner < charges_.size(); ++owner) {
      charges_[owner].room_bytes = (room_[owner] + page_bytes - 1) / page_bytes * page_bytes;
      if (!makers_.empty())
        name_makers(owner);
    }
    return std::move(charges_);
  }

 private:
  struct Unit {
    uint32_t region = UINT32_MAX;
    uint64_t start = 0;
    uint32_t first = 0, last = 0;
    bool table = false;
    uint64_t stranded = 0, resident = 0, pages = 0;
  };
  struct Hole {
    uint64_t key; // site << 32 | free stack
    uint64_t bytes;
  };

  uint32_t owner_of(const HeapBlock& block) const {
    return block.site < owner_of_site_.size() ? owner_of_site_[block.site] : 0;
  }

  void close_unit() {
    if (unit_.pages == 0)
      return;
    ++unit_number_;
    keepers_.clear();
    for (uint32_t i = unit_.first; i < unit_.last; ++i) {
      const HeapBlock& block = sources_.blocks[i];
      const uint32_t owner = owner_of(block);
      if (seen_in_[owner] != unit_number_) {
        seen_in_[owner] = unit_number_;
        keepers_.push_back(owner);
      }
      if (unit_.stranded == 0 || i < counted_until_)
        continue;
      Charge& charge = charges_[owner];
      ++charge.survivors;
      charge.survivor_bytes += block.size;
      charge.oldest_ticks = std::min(charge.oldest_ticks, block.birth_ticks);
      charge.youngest_ticks = std::max(charge.youngest_ticks, block.birth_ticks);
    }
    if (unit_.stranded != 0)
      counted_until_ = std::max(counted_until_, unit_.last);
    std::sort(keepers_.begin(), keepers_.end());
    const bool alone = keepers_.size() == 1;
    for (size_t i = 0; i < keepers_.size(); ++i) {
      Charge& charge = charges_[keepers_[i]];
      const uint64_t part = part_of(unit_.stranded, i);
      (alone ? charge.exclusive_bytes : charge.shared_bytes) += part;
      charge.pages += unit_.pages;
      if (alone) {
        charge.exclusive_pages += unit_.pages;
        charge.released_bytes += unit_.table ? 0 : unit_.resident;
      }
      for (const Hole& hole : holes_) {
        HoleMaker& maker = makers_[keepers_[i]][hole.key];
        maker.bytes += part_of(hole.bytes, i);
        ++maker.blocks;
      }
    }
    unit_ = {};
  }

  // Equal parts, odd bytes to the first ones.
  uint64_t part_of(uint64_t bytes, size_t index) const {
    return bytes / keepers_.size() + (index < bytes % keepers_.size() ? 1 : 0);
  }

  // What lay last in the free bytes of a page: the youngest ghost at each place.
  void find_holes(const SweptPage& page) {
    uint64_t at = page.start;
    uint64_t known = 0;
    const auto fill = [&](uint64_t start, uint64_t end) { known += attribute(start, end); };
    // Blocks on the page; keepers of a run may lie elsewhere.
    for (uint32_t i = page.first_keeper; i < page.last_keeper; ++i) {
      const HeapBlock& block = sources_.blocks[i];
      if (block.end() <= at)
        continue;
      const uint64_t header = block.address - header_bytes(sources_.allocator, block);
      if (header >= page.end)
        break;
      if (header > at)
        fill(at, header);
      at = std::max(at, block.end());
    }
    if (at < page.end)
      fill(at, page.end);
    if (known < page.free)
      note_hole(uint64_t{kNoHoleMaker} << 32, page.free - known);
  }

  uint64_t attribute(uint64_t start, uint64_t end) {
    over_.clear();
    const uint64_t from = start > reach_ ? start - reach_ : 0;
    auto ghost = std::lower_bound(ghosts_.begin(), ghosts_.end(), from,
                                  [](const Ghost& g, uint64_t at) { return g.address < at; });
    // Large ghosts are rare, but one makes every search long: look back no further than is useful.
    constexpr ptrdiff_t kLookBack = 256;
    const auto first_inside = std::lower_bound(ghost, ghosts_.end(), start,
                                               [](const Ghost& g, uint64_t at) { return g.address < at; });
    if (first_inside - ghost > kLookBack)
      ghost = first_inside - kLookBack;
    for (; ghost != ghosts_.end() && ghost->address < end; ++ghost)
      if (ghost->end() > start)
        over_.push_back(&*ghost);
    std::sort(over_.begin(), over_.end(),
              [](const Ghost* a, const Ghost* b) { return a->death_ticks > b->death_ticks; });
    // The youngest take their bytes first; what is left of the place goes to the older ones.
    open_.assign(1, {start, end});
    uint64_t known = 0;
    for (const Ghost* g : over_) {
      uint64_t taken = 0;
      rest_.clear();
      for (const auto& [from_byte, to_byte] : open_) {
        const uint64_t a = std::max(from_byte, g->address), b = std::min(to_byte, g->end());
        if (a >= b) {
          rest_.push_back({from_byte, to_byte});
          continue;
        }
        taken += b - a;
        if (from_byte < a)
          rest_.push_back({from_byte, a});
        if (b < to_byte)
          rest_.push_back({b, to_byte});
      }
      open_.swap(rest_);
      if (taken != 0)
        note_hole(uint64_t{g->site} << 32 | g->free_stack, taken);
      known += taken;
      if (open_.empty())
        break;
    }
    return known;
  }

  void note_hole(uint64_t key, uint64_t bytes) { holes_.push_back({key, bytes}); }

  void name_makers(size_t owner) {
    std::vector<HoleMaker>& named = charges_[owner].makers;
    for (const auto& [key, maker] : makers_[owner]) {
      named.push_back(maker);
      named.back().site = static_cast<uint32_t>(key >> 32);
      named.back().free_stack = static_cast<StackId>(key);
    }
    std::sort(named.begin(), named.end(), [](const HoleMaker& a, const HoleMaker& b) {
      return a.bytes != b.bytes ? a.bytes > b.bytes
             : a.site != b.site ? a.site < b.site
                                : a.free_stack < b.free_stack;
    });
    if (named.size() > Charge::kMakers)
      named.resize(Charge::kMakers);
    makers_[owner].clear();
  }

  const PageSources& sources_;
  std::span<const uint32_t> owner_of_site_;
  std::span<const Ghost> ghosts_;
  std::vector<Charge> charges_;
  std::vector<uint64_t> seen_in_; // by owner: the last unit it keeps
  std::vector<uint64_t> room_;    // by owner: resident bytes of its blocks with headers
  std::vector<std::unordered_map<uint64_t, HoleMaker>> makers_; // by owner
  Unit unit_;
  uint64_t unit_number_ = 0;
  uint32_t counted_until_ = 0;
  uint64_t reach_ = 0; // longest ghost
  std::vector<uint32_t> keepers_;
  std::vector<Hole> holes_; // of the unit
  std::vector<const Ghost*> over_;
  std::vector<std::pair<uint64_t, uint64_t>> open_, rest_;
};

uint64_t empty_bytes(const AccountBytes& bytes) {
  return bytes.trimmable + bytes.top;
}

// The pages that the moved blocks fill, one behind the other.
void add_room(PageGrain& grain, uint64_t moved_bytes, uint64_t moved_requested, uint64_t room_bytes) {
  const uint64_t pages = (moved_bytes + grain.page_bytes - 1) / grain.page_bytes;
  grain.resident_pages += pages;
  grain.pinned_pages += pages;
  grain.bytes.stranded += room_bytes - moved_bytes;
  if (pages != 0)
    grain.occupancy[std::clamp<uint64_t>((moved_requested * 10 + pages * grain.page_bytes - 1) /
                                             (pages * grain.page_bytes),
                                         1, 10) -
                    1] += pages;
}

} // namespace

std::vector<Charge> blame_pages(const PageSources& sources, std::span<const uint32_t> owner_of_site,
                                size_t owners, std::span<const Ghost> ghosts) {
  Blamer blamer(sources, owner_of_site, std::max<size_t>(owners, 1), ghosts);
  sweep_pages(sources, blamer);
  return blamer.finish();
}

WhatIf place_apart(const PageSources& sources, const std::function<bool(const HeapBlock&)>& moved) {
  WhatIf result;
  std::vector<HeapBlock> rest, removed;
  uint64_t headers = 0;
  for (const HeapBlock& block : sources.blocks) {
    if (!moved(block)) {
      rest.push_back(block);
      continue;
    }
    ++result.blocks;
    result.requested += block.size;
    headers += header_bytes(sources.allocator, block);
    removed.push_back(block);
  }
  PageSources without = sources;
  without.blocks = rest;
  without.removed = removed;
  const PageAccounts before = account_pages(sources), after = account_pages(without);
  const uint64_t page_bytes = before.small.page_bytes;
  result.small = after.small;
  result.huge = after.huge;
  const uint64_t requested = before.small.bytes.requested - after.small.bytes.requested;
  const uint64_t slack = before.small.bytes.slack - after.small.bytes.slack;
  const uint64_t bytes = result.blocks == 0 ? 0 : requested + slack + headers;
  result.room_bytes = (bytes + page_bytes - 1) / page_bytes * page_bytes;
  for (const auto& [grain, old] :
       {std::pair(&result.small, &before.small), std::pair(&result.huge, &before.huge)}) {
    const uint64_t released = empty_bytes(grain->bytes) - empty_bytes(old->bytes);
    if (grain == &result.small)
      result.released_bytes = released;
    const uint64_t pages = grain->empty_pages - old->empty_pages;
    grain->bytes.trimmable = old->bytes.trimmable;
    grain->bytes.top = old->bytes.top;
    grain->empty_pages = old->empty_pages;
    grain->resident_pages -= pages;
    grain->bytes.requested += requested;
    grain->bytes.slack += slack;
    grain->bytes.metadata += headers;
    add_room(*grain, bytes, requested, result.room_bytes);
  }
  return result;
}

} // namespace hl
