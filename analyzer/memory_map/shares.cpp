// See shares.h. The method of largest remainders (Hamilton), repeated while limits push some of it back.
#include "memory_map/shares.h"

#include <algorithm>
#include <numeric>

namespace hl {
namespace {

__extension__ typedef unsigned __int128 Wide; // products of two sizes

// One round: `total` units among those that have room. Returns what found none.
uint64_t round_of(uint64_t total, std::span<const uint64_t> weights, std::span<const uint64_t> limits,
                  std::vector<uint64_t>& parts) {
  Wide sum = 0;
  for (size_t i = 0; i < weights.size(); ++i)
    if (parts[i] < limits[i])
      sum += weights[i];
  if (sum == 0)
    return total;
  struct Remainder {
    Wide rest;
    size_t index;
  };
  std::vector<Remainder> order;
  uint64_t given = 0, lost = 0;
  const auto give = [&](size_t i, uint64_t amount) {
    const uint64_t taken = std::min(amount, limits[i] - parts[i]);
    parts[i] += taken;
    lost += amount - taken;
    given += amount;
  };
  for (size_t i = 0; i < weights.size(); ++i) {
    if (parts[i] >= limits[i])
      continue;
    const Wide exact = Wide{total} * weights[i];
    give(i, static_cast<uint64_t>(exact / sum));
    order.push_back({exact % sum, i});
  }
  std::stable_sort(order.begin(), order.end(),
                   [](const Remainder& a, const Remainder& b) { return a.rest > b.rest; });
  for (size_t k = 0; k < order.size() && given < total; ++k)
    give(order[k].index, 1);
  return lost + (total - given);
}

} // namespace

std::vector<uint64_t> share_out(uint64_t total, std::span<const uint64_t> weights,
                                std::span<const uint64_t> limits, uint64_t unit) {
  std::vector<uint64_t> parts(weights.size(), 0), unit_limits(limits.size());
  if (parts.empty())
    return parts;
  for (size_t i = 0; i < limits.size(); ++i)
    unit_limits[i] = limits[i] / unit;
  uint64_t left = total / unit;
  for (const bool by_limits : {false, true}) {
    // Each round fills at least one limit or gives everything away.
    for (size_t round = 0; left != 0 && round <= parts.size(); ++round) {
      const uint64_t before = left;
      left = round_of(left, by_limits ? std::span<const uint64_t>(unit_limits) : weights, unit_limits, parts);
      if (left == before)
        break;
    }
  }
  const uint64_t shared = (total / unit - left) * unit;
  for (uint64_t& part : parts)
    part *= unit;
  // Beyond all limits, and less than a unit: to the part that weighs most.
  const auto heaviest =
      static_cast<size_t>(std::max_element(weights.begin(), weights.end()) - weights.begin());
  parts[heaviest] += total - shared;
  return parts;
}

} // namespace hl
