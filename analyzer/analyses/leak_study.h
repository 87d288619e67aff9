// What can be said of each place that leaks, beyond its class: whether it grows, and where its frees went
// missing.
#pragma once

#include <unordered_map>
#include <vector>

#include "analyses/growth.h"
#include "analyses/leak_report.h"
#include "analyses/missing_free.h"

namespace hl {

struct LeakStudy {
  std::vector<SiteGroup> places;
  std::vector<LeakGroup> groups; // point into `places`
  // Of the places of the heaviest groups of each class; by place.
  std::unordered_map<const SiteGroup*, Growth> growth;
  std::unordered_map<const SiteGroup*, MissingFree> missing;
  // Places that grow without doubt, the fastest first; what grows may be lost, kept, or freed at the very
  // end.
  std::vector<GrowingPlace> growing; // indices into `places`
  // By kind of generation; empty without growth.
  std::vector<GrowthAnalysis::Iteration> iterations;

  // The group of blocks of a place that are live and not lost; nullptr: there is none.
  const LeakGroup* kept_group(const SiteGroup& place) const {
    for (const LeakGroup& group : groups)
      if (group.place == &place &&
          (group.leak_class == LeakClass::reachable || group.leak_class == LeakClass::unknown))
        return &group;
    return nullptr;
  }
  const Growth* growth_of(const LeakGroup& group) const {
    const auto found = growth.find(group.place);
    return found == growth.end() ? nullptr : &found->second;
  }
  LeakStudy() = default;
  LeakStudy(LeakStudy&&) = default;
  LeakStudy& operator=(LeakStudy&&) = default;
};

struct StudyOptions {
  GroupBy by = GroupBy::line;
  size_t judged_groups = 200; // whose growth is told even if they do not grow, of each class
  size_t missing_groups = 20; // of which missing frees are asked
};

// `scan` as in make_leak_report(); `growth` nullptr: neither growth nor missing frees. Stacks of sites and of
// their frees are resolved.
LeakStudy study_leaks(const Replay& replay, const LeakReport& report, const LeakScan* scan,
                      const StackResolver& resolver, const TraceClock& clock, const GrowthAnalysis* growth,
                      const StudyOptions& options);

// Metrics of growth: growing.places, growing.bytes_per_hour
std::vector<Metric> growth_metrics(const LeakStudy& study, bool judged, std::vector<Metric> metrics);

} // namespace hl
