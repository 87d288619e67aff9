// See leak_study.h.
#include "analyses/leak_study.h"

#include <algorithm>

namespace hl {
namespace {

constexpr size_t kTopOfIteration = 3;

LeakClass class_of(const LeakScan* scan, uint64_t address) {
  if (scan == nullptr)
    return LeakClass::unknown;
  const auto at = std::lower_bound(scan->addresses.begin(), scan->addresses.end(), address);
  if (at == scan->addresses.end() || *at != address)
    return LeakClass::unknown;
  return scan->classes[static_cast<size_t>(at - scan->addresses.begin())];
}

void find_missing_frees(LeakStudy& study, const Replay& replay, const LeakScan* scan,
                        const StackResolver& resolver, const TraceClock& clock, const GrowthAnalysis& growth,
                        size_t most_groups) {
  // Survivors of a place: what of it is lost; of a place that grows and is not lost, all that is live.
  struct Wanted {
    const SiteGroup* place;
    bool lost;
    std::vector<LiveBlock> blocks;
  };
  std::vector<Wanted> wanted;
  std::unordered_map<uint32_t, size_t> wanted_by_site;
  const auto want = [&](const SiteGroup& place, bool lost) {
    for (const Wanted& w : wanted)
      if (w.place == &place)
        return;
    if (wanted.size() == most_groups)
      return;
    for (const uint32_t site : place.sites)
      wanted_by_site[site] = wanted.size();
    wanted.push_back({&place, lost, {}});
  };
  for (const LeakGroup& group : study.groups)
    if (group.leak_class == LeakClass::definite || group.leak_class == LeakClass::possible)
      want(*group.place, true);
  for (const GrowingPlace& grows : study.growing)
    want(study.places[grows.group], false);
  replay.live().for_each([&](const LiveBlock& block) {
    const auto found = wanted_by_site.find(block.site);
    if (found == wanted_by_site.end())
      return;
    Wanted& w = wanted[found->second];
    if (!w.lost || class_of(scan, block.address) != LeakClass::reachable)
      w.blocks.push_back(block);
  });
  for (const Wanted& w : wanted)
    study.missing.emplace(
        w.place, missing_free(replay, growth.generations(), clock, resolver, w.place->sites, w.blocks));
}

} // namespace

LeakStudy study_leaks(const Replay& replay, const LeakReport& report, const LeakScan* scan,
                      const StackResolver& resolver, const TraceClock& clock, const GrowthAnalysis* growth,
                      const StudyOptions& options) {
  LeakStudy study;
  study.places = group_sites(replay.result(), resolver, options.by);
  study.groups = group_leaks(report, study.places);
  if (growth == nullptr)
    return study;
  std::array<size_t, kLeakClasses> judged{};
  for (const LeakGroup& group : study.groups) {
    if (judged[static_cast<size_t>(group.leak_class)]++ >= options.judged_groups)
      continue;
    const auto [at, fresh] = study.growth.try_emplace(group.place);
    if (fresh)
      at->second = growth->judge_group(group.place->sites);
  }
  for (GrowingPlace& grows : growing_places(*growth, study.places))
    if (grows.growth.alarming()) {
      study.growth.insert_or_assign(&study.places[grows.group], grows.growth);
      study.growing.push_back(std::move(grows));
    }
  study.iterations = growth->iterations(study.places, kTopOfIteration);
  find_missing_frees(study, replay, scan, resolver, clock, *growth, options.missing_groups);
  return study;
}

std::vector<Metric> growth_metrics(const LeakStudy& study, bool judged, std::vector<Metric> metrics) {
  double per_second = 0;
  for (const GrowingPlace& grows : study.growing)
    per_second += grows.growth.bytes_per_second.estimate;
  const auto add = [&](const char* name, uint64_t value, MetricUnit unit, const char* meaning) {
    metrics.push_back({name, judged ? std::optional(value) : std::nullopt, unit, meaning});
  };
  add("growing.places", study.growing.size(), MetricUnit::count, "places that grow without doubt");
  add("growing.bytes_per_hour", static_cast<uint64_t>(std::max(0.0, per_second * 3600)), MetricUnit::bytes,
      "how fast they grow together");
  return metrics;
}

} // namespace hl
