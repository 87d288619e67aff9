// See diff_places.h.
#include "diff/diff_places.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

namespace hl {
namespace {

PlaceKind kind_of(const DiffSite& site) {
  return site.status == SiteStatus::added     ? PlaceKind::added
         : site.status == SiteStatus::removed ? PlaceKind::removed
                                              : PlaceKind::changed;
}

bool anything_changed(const RunDiff& diff, const DiffPlace& place) {
  for (const ProfileMetricFacts& metric : profile_metrics())
    if (diff.has_for_sites(metric.metric) && (!metric.sampled || metric.metric == diff.options().by) &&
        place_delta(diff, metric.metric, place) != 0)
      return true;
  return false;
}

} // namespace

double place_delta(const RunDiff& diff, ProfileMetric metric, const DiffPlace& place) {
  return diff.value(kNew, metric, place.next) - diff.value(kBase, metric, place.base);
}

std::vector<DiffPlace> diff_places(const RunDiff& diff) {
  std::vector<DiffPlace> places;
  for (const UnmatchedGroup& group : diff.unmatched()) {
    DiffPlace place;
    place.kind = group.kind == UnmatchedKind::reshaped ? PlaceKind::reshaped : PlaceKind::elsewhere;
    place.named = {kNew, group.new_frame, group.new_node};
    place.base = group.base;
    place.next = group.next;
    place.sites = group.sites;
    places.push_back(std::move(place));
  }
  std::map<std::tuple<PlaceKind, uint32_t, uint32_t>, size_t> known;
  for (uint32_t i = 0; i < diff.sites().size(); ++i) {
    const DiffSite& site = diff.sites()[i];
    if (site.ambiguous)
      continue;
    const RunDiff::Place named = diff.place(site);
    const FrameNames& names = diff.names().frame(named.side, named.frame);
    const auto [found, is_new] =
        known.try_emplace({kind_of(site), names.canonical(), names.module}, places.size());
    if (is_new) {
      places.emplace_back();
      places.back().kind = kind_of(site);
      places.back().named = named;
    }
    DiffPlace& place = places[found->second];
    place.base.add(site.base);
    place.next.add(site.next);
    place.sites.push_back(i);
    place.weakest = std::max(place.weakest, site.match);
    place.score = std::min(place.score, site.score);
  }
  std::erase_if(places, [&](const DiffPlace& place) { return !anything_changed(diff, place); });
  const ProfileMetric by = diff.options().by;
  std::stable_sort(places.begin(), places.end(), [&](const DiffPlace& a, const DiffPlace& b) {
    const double left = std::abs(place_delta(diff, by, a)), right = std::abs(place_delta(diff, by, b));
    if (left != right)
      return left > right;
    return std::abs(place_delta(diff, ProfileMetric::bytes_requested, a)) >
           std::abs(place_delta(diff, ProfileMetric::bytes_requested, b));
  });
  return places;
}

} // namespace hl
