// See many_runs.h.
#include "diff/many_runs.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <unordered_map>

namespace hl {
namespace {

std::string_view build_of(const RunProfile& profile) {
  for (const ProfileModule& module : profile.modules)
    if (module.is_main)
      return module.build_id;
  return {};
}

// Texts and frames of one profile in the numbers of another, which gets what it does not have yet.
class Joiner {
 public:
  explicit Joiner(RunProfile& into) : into_(into) {
    for (uint32_t i = 0; i < into.strings.size(); ++i)
      strings_.try_emplace(into.strings[i], i);
    for (uint32_t i = 0; i < into.modules.size(); ++i)
      modules_.try_emplace(into.modules[i].path, i);
    for (uint32_t i = 0; i < into.frames.size(); ++i)
      frames_.try_emplace(key(into.frames[i]), i);
    for (uint32_t i = 1; i < into.nodes.size(); ++i)
      nodes_.try_emplace(uint64_t{into.nodes[i].parent} << 32 | into.nodes[i].frame, i);
  }

  // Node numbers of `into`, by the node numbers of `from`.
  std::vector<uint32_t> nodes(const RunProfile& from) {
    const std::vector<uint32_t> strings = numbers(from.strings, strings_, into_.strings);
    std::vector<uint32_t> modules(from.modules.size());
    for (uint32_t i = 0; i < from.modules.size(); ++i) {
      const auto [found, is_new] =
          modules_.try_emplace(from.modules[i].path, static_cast<uint32_t>(into_.modules.size()));
      if (is_new)
        into_.modules.push_back(from.modules[i]);
      modules[i] = found->second;
    }
    std::vector<uint32_t> frames(from.frames.size());
    for (uint32_t i = 1; i < from.frames.size(); ++i) {
      ProfileFrame frame = from.frames[i];
      frame.function = strings[frame.function];
      frame.file = strings[frame.file];
      frame.module = modules[frame.module];
      const auto [found, is_new] =
          frames_.try_emplace(key(frame), static_cast<uint32_t>(into_.frames.size()));
      if (is_new)
        into_.frames.push_back(frame);
      frames[i] = found->second;
    }
    std::vector<uint32_t> nodes(from.nodes.size());
    for (uint32_t i = 1; i < from.nodes.size(); ++i) {
      const ProfileNode node{nodes[from.nodes[i].parent], frames[from.nodes[i].frame]};
      const auto [found, is_new] = nodes_.try_emplace(uint64_t{node.parent} << 32 | node.frame,
                                                      static_cast<uint32_t>(into_.nodes.size()));
      if (is_new)
        into_.nodes.push_back(node);
      nodes[i] = found->second;
    }
    return nodes;
  }

 private:
  struct Key {
    uint64_t high, low;
    friend bool operator==(const Key&, const Key&) = default;
  };
  struct KeyHash {
    size_t operator()(const Key& key) const {
      const uint64_t hash =
          (key.high * 0x9e3779b97f4a7c15u ^ (key.low + (key.high >> 29))) * 0xff51afd7ed558ccdu;
      return static_cast<size_t>(hash ^ hash >> 32);
    }
  };
  struct FrameKey {
    Key names, place;
    friend bool operator==(const FrameKey&, const FrameKey&) = default;
  };
  struct FrameKeyHash {
    size_t operator()(const FrameKey& key) const { return KeyHash{}(key.names) * 31 + KeyHash{}(key.place); }
  };
  static FrameKey key(const ProfileFrame& frame) {
    return {{frame.function, frame.file}, {uint64_t{frame.module} << 32 | frame.line, frame.flags}};
  }
  static std::vector<uint32_t> numbers(const std::vector<std::string>& from,
                                       std::unordered_map<std::string, uint32_t>& known,
                                       std::vector<std::string>& into) {
    std::vector<uint32_t> result(from.size());
    for (uint32_t i = 0; i < from.size(); ++i) {
      const auto [found, is_new] = known.try_emplace(from[i], static_cast<uint32_t>(into.size()));
      if (is_new)
        into.push_back(from[i]);
      result[i] = found->second;
    }
    return result;
  }

  RunProfile& into_;
  std::unordered_map<std::string, uint32_t> strings_, modules_;
  std::unordered_map<FrameKey, uint32_t, FrameKeyHash> frames_;
  std::unordered_map<uint64_t, uint32_t> nodes_;
};

// The site of `into` that each site of `run` is: of runs of other builds, by matching names, never by
// likeness.
std::vector<uint32_t> matched_sites(const RunProfile& into, const RunProfile& run) {
  std::vector<uint32_t> result(run.sites.size(), UINT32_MAX);
  if (build_of(into) == build_of(run))
    return result;
  const RenameMap none;
  const ComparedNames names(into, run, none);
  for (const SitePair& pair : match_sites(names, {.threshold = 2}).pairs)
    for (const uint32_t site : pair.next)
      result[site] = pair.base.front();
  return result;
}

uint64_t rounded_median(const std::vector<double>& values) {
  return static_cast<uint64_t>(std::llround(quantile(values, 0.5)));
}

SideSummary summary(const std::vector<double>& values) {
  return {quantile(values, 0.5), *std::min_element(values.begin(), values.end()),
          *std::max_element(values.begin(), values.end())};
}

// How far runs of one side are apart: between the tenth and the ninetieth percentile, so that one odd run
// among many does not decide. Few runs know their own spread badly: then it is taken twice.
double spread(const std::vector<double>& values) {
  const double known = quantile(values, 0.9) - quantile(values, 0.1);
  return values.size() < kRunsThatKnowTheirSpread ? 2 * known : known;
}

double floor_of(ProfileMetric metric, double base) {
  return std::max(kFloorShare * std::abs(base),
                  facts(metric).unit == MetricUnit::bytes ? kFloorBytes : kFloorCount);
}

// One measure of one thing in all runs.
struct Sample {
  std::vector<double> base, next;
};

ShiftOfRuns describe(const Sample& sample) {
  ShiftOfRuns result;
  result.base = summary(sample.base);
  result.next = summary(sample.next);
  result.shift = shift_between(sample.base, sample.next);
  return result;
}

bool agrees(const SideSummary& side) {
  return side.low == side.high;
}

// Whether its values, whoever's they are, lie far enough apart to pass the floor.
bool could_pass_floor(ProfileMetric metric, const Sample& sample) {
  std::vector<double> all = sample.base;
  all.insert(all.end(), sample.next.begin(), sample.next.end());
  const SideSummary pooled = summary(all);
  return pooled.high - pooled.low >= floor_of(metric, pooled.median);
}

void test(ShiftOfRuns& shift, const Sample& sample) {
  shift.p = rank_sum_test(sample.base, sample.next).p;
  shift.tested = true;
}

void conclude(ProfileMetric metric, ShiftOfRuns& shift, const Sample& sample, bool enough) {
  const double change = shift.shift.estimate;
  const ShiftVerdict direction = change > 0 ? ShiftVerdict::grew : ShiftVerdict::shrank;
  const bool passes_floor = std::abs(change) >= floor_of(metric, shift.base.median);
  if (shift.exact)
    shift.verdict = change == 0 ? ShiftVerdict::same : direction;
  else if (agrees(shift.base) && agrees(shift.next) && shift.base.low == shift.next.low)
    shift.verdict = ShiftVerdict::same;
  else if (!passes_floor)
    shift.verdict =
        shift.tested && shift.q >= kFalseDiscoveryRate ? ShiftVerdict::noise : ShiftVerdict::small;
  else if (!enough)
    shift.verdict = ShiftVerdict::undecided;
  else if (shift.q < kFalseDiscoveryRate &&
           std::abs(change) > std::max(spread(sample.base), spread(sample.next)))
    shift.verdict = direction;
  else
    shift.verdict = ShiftVerdict::noise;
}

} // namespace

std::string_view to_string(ShiftVerdict verdict) {
  switch (verdict) {
  case ShiftVerdict::grew:
    return "grew";
  case ShiftVerdict::shrank:
    return "shrank";
  case ShiftVerdict::noise:
    return "noise";
  case ShiftVerdict::small:
    return "small";
  case ShiftVerdict::undecided:
    return "undecided";
  case ShiftVerdict::same:
    break;
  }
  return "same";
}

RunSet::RunSet(std::vector<RunProfile> runs, const std::string& per, const std::string& name) {
  for (const RunProfile& run : runs) {
    units_.push_back(per.empty() ? 1 : run.mark_count(per));
    if (units_.back() == 0)
      throw std::invalid_argument(
          std::string("a ").append(name).append(" run has no mark '").append(per).append("'"));
    uuids_.push_back(run.uuid);
    run_totals_.push_back(run.totals);
  }
  median_ = runs.front();
  site_values_.resize(runs.size());
  for (size_t i = 0; i < runs.size(); ++i)
    put_together(runs[i], i);

  for (const RunProfile& run : runs) {
    // What not all runs know has no median.
    MetricMask of_run, of_sites;
    for (const ProfileMetricFacts& metric : profile_metrics()) {
      if (median_.of_run.has(metric.metric) && run.of_run.has(metric.metric))
        of_run.add(metric.metric);
      if (median_.of_sites.has(metric.metric) && run.of_sites.has(metric.metric))
        of_sites.add(metric.metric);
    }
    median_.of_run = of_run;
    median_.of_sites = of_sites;
    median_.complete = median_.complete && run.complete;
    median_.lost_events = std::max(median_.lost_events, run.lost_events);
    median_.scanned = median_.scanned && run.scanned;
  }
  std::vector<double> values(runs.size());
  const auto median_of = [&](const auto& value_of) {
    for (size_t i = 0; i < runs.size(); ++i)
      values[i] = static_cast<double>(value_of(i));
    return rounded_median(values);
  };
  median_.duration_ns = median_of([&](size_t run) { return runs[run].duration_ns; });
  for (RunProfile::Mark& mark : median_.marks)
    mark.count = median_of([&](size_t run) { return runs[run].mark_count(mark.name); });
  for (std::vector<MetricValues>& sites : site_values_)
    sites.resize(median_.sites.size());
  for (const ProfileMetricFacts& metric : profile_metrics()) {
    median_.totals[metric.metric] = median_of([&](size_t run) { return run_totals_[run][metric.metric]; });
    if (metric.of_sites)
      for (size_t site = 0; site < median_.sites.size(); ++site)
        median_.sites[site].metrics[metric.metric] =
            median_of([&](size_t run) { return site_values_[run][site][metric.metric]; });
  }
}

void RunSet::put_together(const RunProfile& run, size_t number) {
  const std::vector<uint32_t> matched = matched_sites(median_, run);
  const std::vector<uint32_t> nodes = Joiner(median_).nodes(run);
  std::unordered_map<uint32_t, uint32_t> site_of_node;
  for (uint32_t i = 0; i < median_.sites.size(); ++i)
    site_of_node.emplace(median_.sites[i].node, i);
  std::vector<MetricValues>& values = site_values_[number];
  for (size_t i = 0; i < run.sites.size(); ++i) {
    uint32_t site = matched[i];
    if (site == UINT32_MAX) {
      const uint32_t node = nodes[run.sites[i].node];
      const auto [found, is_new] =
          site_of_node.try_emplace(node, static_cast<uint32_t>(median_.sites.size()));
      if (is_new)
        median_.sites.push_back({node, {}});
      site = found->second;
    }
    if (values.size() <= site)
      values.resize(site + 1);
    values[site].add(run.sites[i].metrics);
  }
}

std::vector<double> RunSet::totals(ProfileMetric metric) const {
  std::vector<double> values;
  for (size_t run = 0; run < runs(); ++run)
    values.push_back(static_cast<double>(run_totals_[run][metric]) * scale(run, metric));
  return values;
}

double RunSet::site(size_t run, uint32_t site, ProfileMetric metric) const {
  return static_cast<double>(site_values_[run][site][metric]) * scale(run, metric);
}

ManyRuns::ManyRuns(const RunSet& base, const RunSet& next, const RunDiff& diff)
    : base_(base), next_(next), diff_(diff) {
  for (const ProfileMetricFacts& metric : profile_metrics())
    if (diff.has_for_sites(metric.metric))
      judge_sites(metric.metric);
  judge_totals();
}

void ManyRuns::judge_totals() {
  std::array<Sample, kProfileMetrics> samples;
  std::vector<double> p;
  for (size_t i = 0; i < kProfileMetrics; ++i) {
    const auto metric = static_cast<ProfileMetric>(i);
    if (!diff_.has(metric))
      continue;
    samples[i] = {base_.totals(metric), next_.totals(metric)};
    totals_[i] = describe(samples[i]);
    if (!facts(metric).of_sites)
      exact_[i] =
          base_.runs() >= 2 && next_.runs() >= 2 && agrees(totals_[i].base) && agrees(totals_[i].next);
    totals_[i].exact = exact_[i];
    if (!totals_[i].exact && could_pass_floor(metric, samples[i])) {
      test(totals_[i], samples[i]);
      p.push_back(totals_[i].p);
    }
  }
  const std::vector<double> q = false_discovery_rates(p);
  size_t next = 0;
  for (size_t i = 0; i < kProfileMetrics; ++i) {
    if (!diff_.has(static_cast<ProfileMetric>(i)))
      continue;
    if (totals_[i].tested)
      totals_[i].q = q[next++];
    conclude(static_cast<ProfileMetric>(i), totals_[i], samples[i], enough());
  }
}

void ManyRuns::judge_sites(ProfileMetric metric) {
  std::vector<ShiftOfRuns>& shifts = sites_[static_cast<size_t>(metric)];
  std::vector<Sample> samples(diff_.sites().size());
  shifts.resize(samples.size());
  const auto values = [&](const RunSet& side, const std::vector<uint32_t>& sites) {
    std::vector<double> sums(side.runs(), 0);
    for (size_t run = 0; run < side.runs(); ++run)
      for (const uint32_t site : sites)
        sums[run] += side.site(run, site, metric);
    return sums;
  };
  const SideSummary base_total = summary(base_.totals(metric)), new_total = summary(next_.totals(metric));
  bool exact = base_.runs() >= 2 && next_.runs() >= 2 && agrees(base_total) && agrees(new_total);
  for (size_t i = 0; i < samples.size(); ++i) {
    const DiffSite& site = diff_.sites()[i];
    samples[i] = {values(base_, site.base_sites), values(next_, site.new_sites)};
    shifts[i] = describe(samples[i]);
    exact = exact && agrees(shifts[i].base) && agrees(shifts[i].next);
  }
  exact_[static_cast<size_t>(metric)] = exact;
  std::vector<double> p;
  for (size_t i = 0; i < samples.size(); ++i) {
    ShiftOfRuns& shift = shifts[i];
    shift.exact = exact || (base_.runs() >= 3 && next_.runs() >= 3 && agrees(shift.base) &&
                            agrees(shift.next) && could_pass_floor(metric, samples[i]));
    if (shift.exact || !could_pass_floor(metric, samples[i]))
      continue;
    test(shift, samples[i]);
    p.push_back(shift.p);
  }
  const std::vector<double> q = false_discovery_rates(p);
  size_t next = 0;
  for (size_t i = 0; i < samples.size(); ++i) {
    if (shifts[i].tested)
      shifts[i].q = q[next++];
    conclude(metric, shifts[i], samples[i], enough());
  }
}

} // namespace hl
