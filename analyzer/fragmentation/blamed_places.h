// Charges put together the way people look for them: by line, function, module or whole stack.
#pragma once

#include <string_view>
#include <vector>

#include "analyses/heap_report.h"
#include "fragmentation/fragmentation_study.h"

namespace hl {

struct BlamedPlace {
  SiteGroup group;
  Charge charge;
  uint32_t site = 0; // of the group: the one with most live bytes
};
// Those with stranded bytes or pages of their own, most stranded bytes first. Stacks must be resolved.
std::vector<BlamedPlace> blamed_places(const FragmentationStudy& study, const StackResolver& resolver,
                                       GroupBy by);

// Sites with a frame whose function, file or module matches: a part of the name, `*` for any characters, `^`
// and
// `$` at its ends.
std::vector<bool> matching_sites(const ReplayResult& result, const StackResolver& resolver,
                                 std::string_view pattern);

} // namespace hl
