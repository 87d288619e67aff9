// See blamed_places.h.
#include "fragmentation/blamed_places.h"

#include <algorithm>

#include "suppressions/name_pattern.h"

namespace hl {

std::vector<BlamedPlace> blamed_places(const FragmentationStudy& study, const StackResolver& resolver,
                                       GroupBy by) {
  const ReplayResult& result = study.heap.result();
  std::vector<SiteGroup> groups = group_sites(result, resolver, by);
  const auto nobody = static_cast<uint32_t>(groups.size());
  std::vector<uint32_t> owners(result.sites.size(), nobody);
  for (uint32_t group = 0; group < groups.size(); ++group)
    for (const uint32_t site : groups[group].sites)
      owners[site] = group;
  std::vector<Charge> charges = study.blame(owners, groups.size() + 1);
  std::vector<uint64_t> live(result.sites.size());
  for (uint32_t site = 0; site < std::min(live.size(), study.accounts.sites.size()); ++site)
    live[site] = study.accounts.sites[site].requested + study.accounts.sites[site].untouched;
  std::vector<BlamedPlace> places;
  for (uint32_t group = 0; group < groups.size(); ++group) {
    if (charges[group].stranded_bytes() == 0 && charges[group].exclusive_pages == 0)
      continue;
    BlamedPlace& place = places.emplace_back();
    place.group = std::move(groups[group]);
    place.charge = std::move(charges[group]);
    place.site = *std::max_element(place.group.sites.begin(), place.group.sites.end(),
                                   [&](uint32_t a, uint32_t b) { return live[a] < live[b]; });
  }
  std::stable_sort(places.begin(), places.end(), [](const BlamedPlace& a, const BlamedPlace& b) {
    return a.charge.stranded_bytes() > b.charge.stranded_bytes();
  });
  return places;
}

std::vector<bool> matching_sites(const ReplayResult& result, const StackResolver& resolver,
                                 std::string_view pattern) {
  const NamePattern name = NamePattern::leak_template(pattern);
  std::vector<bool> matching(result.sites.size());
  for (size_t site = 0; site < matching.size(); ++site) {
    if (result.sites[site].allocation_calls == 0 || result.site_stacks[site] == 0)
      continue;
    for (const ResolvedFrame& frame : resolver.frames(result.site_stacks[site]))
      if (!frame.marker &&
          (name.matches(frame.function) || name.matches(frame.file) || name.matches(frame.module))) {
        matching[site] = true;
        break;
      }
  }
  return matching;
}

} // namespace hl
