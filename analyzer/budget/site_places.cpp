// See site_places.h.
#include "budget/site_places.h"

#include <map>

#include "diff/canonical_name.h"

namespace hl {

std::vector<SitePlace> site_places(const RunProfile& profile) {
  std::vector<SitePlace> places;
  std::map<std::pair<std::string, uint32_t>, size_t> known; // canonical name, file
  for (const ProfileSite& site : profile.sites) {
    const uint32_t index = profile.leading_frame(site.node);
    const ProfileFrame& frame = profile.frames[index];
    const std::string name = index == 0 ? "[stack not known]" : canonical_name(profile.function(frame)).name;
    const auto [found, is_new] = known.try_emplace({name, frame.file}, places.size());
    if (is_new)
      places.push_back({name, index, {}});
    places[found->second].metrics.add(site.metrics);
  }
  return places;
}

bool is_file(std::string_view recorded, std::string_view named) {
  return recorded == named || (recorded.size() > named.size() && recorded.ends_with(named) &&
                               recorded[recorded.size() - named.size() - 1] == '/');
}

} // namespace hl
