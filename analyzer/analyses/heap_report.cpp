// See heap_report.h.
#include "analyses/heap_report.h"

#include <algorithm>
#include <unordered_map>

namespace hl {

std::optional<GroupBy> parse_group_by(std::string_view text) {
  if (text == "stack")
    return GroupBy::stack;
  if (text == "line")
    return GroupBy::line;
  if (text == "function")
    return GroupBy::function;
  if (text == "module")
    return GroupBy::module;
  return {};
}

uint64_t SiteNumbers::of(SiteMetric metric) const {
  switch (metric) {
  case SiteMetric::peak_bytes:
    return peak_bytes;
  case SiteMetric::live_bytes:
    return live_bytes;
  case SiteMetric::allocation_calls:
    return allocation_calls;
  case SiteMetric::bytes_requested:
    return bytes_requested;
  case SiteMetric::temporary:
    return temporary;
  case SiteMetric::bytes_copied:
    return bytes_copied;
  }
  return 0;
}

void SiteNumbers::add(const SiteNumbers& other) {
  allocation_calls += other.allocation_calls;
  bytes_requested += other.bytes_requested;
  peak_bytes += other.peak_bytes;
  peak_blocks += other.peak_blocks;
  live_bytes += other.live_bytes;
  live_blocks += other.live_blocks;
  temporary += other.temporary;
  reallocs += other.reallocs;
  bytes_copied += other.bytes_copied;
  lifetime_ticks += other.lifetime_ticks;
}

SiteNumbers numbers_of(const ReplayResult& result, uint32_t site) {
  const SiteTotals& totals = result.sites[site];
  SiteNumbers numbers;
  numbers.allocation_calls = totals.allocation_calls;
  numbers.bytes_requested = totals.bytes_requested;
  numbers.peak_bytes = totals.peak_bytes;
  numbers.peak_blocks = totals.peak_blocks;
  numbers.live_bytes = totals.live_bytes;
  numbers.live_blocks = totals.live_blocks;
  numbers.temporary = totals.temporary;
  numbers.lifetime_ticks = totals.lifetime_ticks;
  if (const auto found = result.reallocs_by_site.find(site); found != result.reallocs_by_site.end()) {
    numbers.reallocs = found->second.calls;
    numbers.bytes_copied = found->second.bytes_copied;
  }
  return numbers;
}

std::vector<StackId> allocating_stacks(const ReplayResult& result) {
  std::vector<StackId> stacks;
  for (size_t i = 0; i < result.sites.size(); ++i)
    if (result.sites[i].allocation_calls != 0 && result.site_stacks[i] != 0)
      stacks.push_back(result.site_stacks[i]);
  return stacks;
}

std::vector<SiteGroup> group_sites(const ReplayResult& result, const StackResolver& resolver, GroupBy by) {
  std::vector<SiteGroup> groups;
  std::unordered_map<std::string, uint32_t> known;
  std::string key;
  for (uint32_t site = 0; site < result.sites.size(); ++site) {
    if (result.sites[site].allocation_calls == 0)
      continue;
    const ResolvedFrame named = resolver.leading_frame(result.site_stacks[site]);
    key.clear();
    switch (by) {
    case GroupBy::stack:
      key = std::to_string(site);
      break;
    case GroupBy::line:
      key.append(named.function)
          .append("\n")
          .append(named.file)
          .append(":")
          .append(std::to_string(named.line));
      key.append("\n").append(named.module);
      break;
    case GroupBy::function:
      key.append(named.function).append("\n").append(named.module);
      break;
    case GroupBy::module:
      key = named.module;
      break;
    }
    const auto [found, is_new] = known.try_emplace(key, static_cast<uint32_t>(groups.size()));
    if (is_new) {
      SiteGroup group;
      group.module = named.module;
      if (by == GroupBy::module) {
        group.function = named.module.empty() ? std::string("[no module]") : std::string(named.module);
      } else {
        group.function = std::string(named.function);
        group.file = named.file;
        group.line = by == GroupBy::function ? 0 : named.line;
      }
      groups.push_back(std::move(group));
    }
    SiteGroup& group = groups[found->second];
    group.numbers.add(numbers_of(result, site));
    group.sites.push_back(site);
  }
  return groups;
}

std::vector<uint32_t> top_groups(const std::vector<SiteGroup>& groups, SiteMetric metric, size_t count) {
  std::vector<uint32_t> order;
  for (uint32_t i = 0; i < groups.size(); ++i)
    if (groups[i].numbers.of(metric) != 0)
      order.push_back(i);
  const auto before = [&](uint32_t a, uint32_t b) {
    const uint64_t left = groups[a].numbers.of(metric), right = groups[b].numbers.of(metric);
    if (left != right)
      return left > right;
    if (groups[a].function != groups[b].function)
      return groups[a].function < groups[b].function;
    return a < b;
  };
  if (count == 0 || count >= order.size()) {
    std::sort(order.begin(), order.end(), before);
  } else {
    std::partial_sort(order.begin(), order.begin() + static_cast<ptrdiff_t>(count), order.end(), before);
    order.resize(count);
  }
  return order;
}

uint32_t heaviest_site(const SiteGroup& group, const ReplayResult& result, SiteMetric metric) {
  uint32_t best = group.sites.front();
  uint64_t most = 0;
  for (const uint32_t site : group.sites) {
    const uint64_t value = numbers_of(result, site).of(metric);
    if (value > most) {
      most = value;
      best = site;
    }
  }
  return best;
}

std::vector<LibraryShare> library_shares(const SiteGroup& group, const ReplayResult& result,
                                         const StackResolver& resolver, SiteMetric metric) {
  std::vector<LibraryShare> shares;
  std::unordered_map<std::string, size_t> known;
  for (const uint32_t site : group.sites) {
    const uint64_t amount = numbers_of(result, site).of(metric);
    if (amount == 0)
      continue;
    const ResolvedFrame* const frame = resolver.library_frame(result.site_stacks[site]);
    std::string key;
    if (frame != nullptr)
      key.append(frame->function).append("\n").append(frame->module);
    const auto [found, is_new] = known.try_emplace(std::move(key), shares.size());
    if (is_new)
      shares.push_back({frame, 0});
    shares[found->second].amount += amount;
  }
  std::stable_sort(shares.begin(), shares.end(),
                   [](const LibraryShare& a, const LibraryShare& b) { return a.amount > b.amount; });
  return shares;
}

} // namespace hl
