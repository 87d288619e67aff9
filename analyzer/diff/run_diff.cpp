// See run_diff.h.
#include "diff/run_diff.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "diff/unmatched_groups.h"

namespace hl {

std::string_view to_string(SiteStatus status) {
  switch (status) {
  case SiteStatus::added:
    return "added";
  case SiteStatus::removed:
    return "removed";
  case SiteStatus::grew:
    return "grew";
  case SiteStatus::shrank:
    return "shrank";
  case SiteStatus::same:
    break;
  }
  return "same";
}

RunDiff::RunDiff(const RunProfile& base, const RunProfile& next, const RenameMap& renames,
                 DiffOptions options)
    : names_(base, next, renames), options_(std::move(options)) {
  if (!options_.per.empty())
    for (const Side side : {kBase, kNew}) {
      units_[side] = profile(side).mark_count(options_.per);
      if (units_[side] == 0)
        throw std::invalid_argument("the " + std::string(side == kBase ? "base" : "new") +
                                    " run has no mark '" + options_.per + "'");
    }
  const SiteMatching matching = match_sites(names_, {.threshold = options_.threshold, .by = options_.by});
  renames_ = matching.renames;
  given_up_ = matching.given_up;
  totals_[kBase] = base.totals;
  totals_[kNew] = next.totals;
  add_pairs(matching);
  if (options_.leave_out_set_up && units_[kBase] != units_[kNew])
    take_out_set_up();
  add_lonely(matching);
  for (DiffSite& site : sites_)
    judge(site);
  // Ties by what was requested, then by what the stacks are called, so that the order is always the same.
  std::vector<double> first(sites_.size()), second(sites_.size());
  std::vector<uint32_t> order(sites_.size());
  for (uint32_t i = 0; i < sites_.size(); ++i) {
    order[i] = i;
    first[i] = std::abs(delta(options_.by, sites_[i]));
    second[i] = std::abs(delta(ProfileMetric::bytes_requested, sites_[i])) +
                std::abs(delta(ProfileMetric::allocation_calls, sites_[i]));
  }
  std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    return first[a] != first[b] ? first[a] > first[b] : second[a] > second[b];
  });
  std::vector<DiffSite> sorted;
  sorted.reserve(sites_.size());
  for (const uint32_t i : order)
    sorted.push_back(std::move(sites_[i]));
  sites_ = std::move(sorted);
  unmatched_ = group_unmatched(*this, sites_);
}

bool RunDiff::has(ProfileMetric metric) const {
  return profile(kBase).of_run.has(metric) && profile(kNew).of_run.has(metric);
}

bool RunDiff::has_for_sites(ProfileMetric metric) const {
  return profile(kBase).of_sites.has(metric) && profile(kNew).of_sites.has(metric);
}

double RunDiff::value(Side side, ProfileMetric metric, uint64_t number) const {
  const double raw = static_cast<double>(number);
  return facts(metric).flow ? raw / static_cast<double>(units_[side]) : raw;
}

double RunDiff::value(Side side, ProfileMetric metric, const MetricValues& values) const {
  return value(side, metric, values[metric]);
}

double RunDiff::delta(ProfileMetric metric, const DiffSite& site) const {
  return value(kNew, metric, site.next) - value(kBase, metric, site.base);
}

double RunDiff::total_delta(ProfileMetric metric) const {
  return value(kNew, metric, totals(kNew)) - value(kBase, metric, totals(kBase));
}

ProfileMetric RunDiff::byte_metric() const {
  return facts(options_.by).unit == MetricUnit::bytes && facts(options_.by).of_sites
             ? options_.by
             : ProfileMetric::bytes_requested;
}

void RunDiff::take_out_set_up() {
  using enum ProfileMetric;
  const uint64_t least = std::min(units_[kBase], units_[kNew]);
  for (DiffSite& site : sites_) {
    const uint64_t calls = site.base[allocation_calls];
    if (calls == 0 || calls >= least || calls != site.next[allocation_calls] ||
        site.base[bytes_requested] != site.next[bytes_requested])
      continue;
    site.set_up = true;
    for (const ProfileMetricFacts& metric : profile_metrics())
      if (metric.flow && metric.of_sites)
        for (const Side side : {kBase, kNew}) {
          uint64_t& value = (side == kBase ? site.base : site.next)[metric.metric];
          set_up_[side][metric.metric] += value;
          totals_[side][metric.metric] -= value;
          value = 0;
        }
  }
}

void RunDiff::add_pairs(const SiteMatching& matching) {
  for (const SitePair& pair : matching.pairs) {
    DiffSite site;
    site.match = pair.tier;
    site.score = pair.score;
    site.base_sites = pair.base;
    site.new_sites = pair.next;
    for (const uint32_t i : pair.base)
      site.base.add(profile(kBase).sites[i].metrics);
    for (const uint32_t i : pair.next)
      site.next.add(profile(kNew).sites[i].metrics);
    sites_.push_back(std::move(site));
  }
}

void RunDiff::add_lonely(const SiteMatching& matching) {
  for (const uint32_t i : matching.only_base) {
    DiffSite site;
    site.base_sites = {i};
    site.base = profile(kBase).sites[i].metrics;
    sites_.push_back(std::move(site));
  }
  for (const uint32_t i : matching.only_new) {
    DiffSite site;
    site.new_sites = {i};
    site.next = profile(kNew).sites[i].metrics;
    sites_.push_back(std::move(site));
  }
}

void RunDiff::judge(DiffSite& site) const {
  if (site.base_sites.empty() || site.new_sites.empty()) {
    site.status = site.base_sites.empty() ? SiteStatus::added : SiteStatus::removed;
    return;
  }
  double change = delta(options_.by, site);
  for (size_t i = 0; change == 0 && i < kProfileMetrics; ++i)
    if (const auto metric = static_cast<ProfileMetric>(i); has_for_sites(metric) && !facts(metric).sampled)
      change = delta(metric, site);
  site.status = change > 0 ? SiteStatus::grew : change < 0 ? SiteStatus::shrank : SiteStatus::same;
}

RunDiff::Place RunDiff::place(const DiffSite& site) const {
  const Side side = site.new_sites.empty() ? kBase : kNew;
  const std::vector<uint32_t>& sites = side == kNew ? site.new_sites : site.base_sites;
  const uint32_t node = profile(side).sites[sites.front()].node;
  return {side, profile(side).leading_frame(node), node};
}

std::array<uint64_t, 4> RunDiff::matched_by_tier(Side side, ProfileMetric metric) const {
  std::array<uint64_t, 4> sums{};
  for (const DiffSite& site : sites_)
    sums[static_cast<size_t>(site.match)] += (side == kBase ? site.base : site.next)[metric];
  return sums;
}

uint64_t RunDiff::other_work(Side side, ProfileMetric metric) const {
  uint64_t sum = 0;
  for (const DiffSite& site : sites_)
    if (site.other_work)
      sum += (side == kBase ? site.base : site.next)[metric];
  return sum;
}

} // namespace hl
