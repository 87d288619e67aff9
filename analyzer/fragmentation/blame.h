// Who keeps stranded bytes from being given back.
//
// The unit is what the allocator can give back: a page, or where it gives back whole runs only, the run. A
// unit that only one owner's blocks keep is charged to that owner (exclusive). One that several keep is
// charged to each in equal parts, odd bytes to the first ones: only all of them together can free the page,
// so each is as necessary as the other, whatever its size (the Shapley value of that game). All charges add
// up to the stranded bytes of the accounts. Empty pages, caches and the allocator's tables are nobody's.
//
// An owner is a site or any group of sites; what is shared between sites may be exclusive to their group.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "fragmentation/page_accounts.h"
#include "replay/ghost_table.h"

namespace hl {

// Part of an owner's holes by what lay in them last.
struct HoleMaker {
  uint32_t site = 0;      // that had allocated the block; UINT32_MAX: nothing is known to have been there
  StackId free_stack = 0; // 0: not recorded
  uint64_t bytes = 0;     // of the stranded bytes that are charged to the owner
  uint64_t blocks = 0;
};
inline constexpr uint32_t kNoHoleMaker = UINT32_MAX;

struct Charge {
  uint64_t exclusive_bytes = 0, shared_bytes = 0; // of the stranded bytes
  uint64_t pages = 0, exclusive_pages = 0;        // resident ones that it keeps, and keeps alone
  uint64_t survivors = 0, survivor_bytes = 0;     // its blocks on pages with stranded bytes; requested
  uint64_t oldest_ticks = UINT64_MAX, youngest_ticks = 0; // births of those
  // If its blocks lived elsewhere: pages that then nobody keeps, and the room the blocks' resident bytes
  // would take packed (whole pages). Found by taking them away, not estimated.
  uint64_t released_bytes = 0, room_bytes = 0;
  std::vector<HoleMaker> makers; // most bytes first, at most kMakers; the rest in no entry

  uint64_t stranded_bytes() const { return exclusive_bytes + shared_bytes; }
  uint64_t given_back() const { return released_bytes > room_bytes ? released_bytes - room_bytes : 0; }
  static constexpr size_t kMakers = 8;
};

// By owner. `owner_of_site`: same index as the sites of the replay; sites beyond its end: owner 0.
// `ghosts`: by address; empty: holes have no makers.
std::vector<Charge> blame_pages(const PageSources& sources, std::span<const uint32_t> owner_of_site,
                                size_t owners, std::span<const Ghost> ghosts = {});

// The heap as it would be with some blocks apart, in pages of their own, one behind the other.
struct WhatIf {
  uint64_t blocks = 0, requested = 0; // that were moved
  uint64_t released_bytes = 0;        // on pages that nobody keeps any more
  uint64_t room_bytes = 0;            // that the moved blocks need
  PageGrain small, huge;              // afterwards; without the released pages, with the new ones
};
WhatIf place_apart(const PageSources& sources, const std::function<bool(const HeapBlock&)>& moved);

} // namespace hl
