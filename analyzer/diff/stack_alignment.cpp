// See stack_alignment.h.
#include "diff/stack_alignment.h"

#include <algorithm>
#include <cmath>

namespace hl {
namespace {

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

} // namespace

FunctionFrequency::FunctionFrequency(const ComparedNames& names,
                                     const std::vector<std::vector<uint32_t>>& base_stacks,
                                     const std::vector<std::vector<uint32_t>>& new_stacks) {
  const std::array stacks = {&base_stacks, &new_stacks};
  std::vector<uint32_t> last_site(names.numbers(), 0);
  uint32_t site = 0;
  for (const Side side : {kBase, kNew}) {
    sites_[side].assign(names.numbers(), 0);
    for (const std::vector<uint32_t>& stack : *stacks[side]) {
      ++site;
      for (const uint32_t frame : stack) {
        const uint32_t number = names.frame(side, frame).canonical();
        if (last_site[number] != site) {
          last_site[number] = site;
          ++sites_[side][number];
        }
      }
    }
  }
  const double all = std::max<double>(1, site), log_all = std::log1p(all);
  rarity_.reserve(names.numbers());
  for (size_t i = 0; i < names.numbers(); ++i) {
    const double with = std::max(1u, sites_[kBase][i] + sites_[kNew][i]);
    rarity_.push_back(static_cast<float>(std::log1p(all / with) / log_all));
  }
}

StackAligner::StackAligner(const ComparedNames& names, const FunctionFrequency& frequency)
    : names_(names), frequency_(frequency) {
  for (size_t depth = 0; depth < nearness_.size(); ++depth)
    nearness_[depth] = std::max(0.25, std::pow(0.88, static_cast<double>(depth)));
}

double name_likeness(std::string_view a, std::string_view b) {
  if (a == b)
    return 1;
  if (a.size() < 2 || b.size() < 2)
    return 0;
  std::vector<uint16_t> pairs_a, pairs_b;
  const auto pairs_of = [](std::string_view text, std::vector<uint16_t>& pairs) {
    for (size_t i = 0; i + 1 < text.size(); ++i)
      pairs.push_back(static_cast<uint16_t>(static_cast<uint8_t>(lower(text[i])) << 8 |
                                            static_cast<uint8_t>(lower(text[i + 1]))));
    std::sort(pairs.begin(), pairs.end());
  };
  pairs_of(a.substr(0, 200), pairs_a);
  pairs_of(b.substr(0, 200), pairs_b);
  size_t common = 0;
  for (size_t i = 0, k = 0; i < pairs_a.size() && k < pairs_b.size();) {
    if (pairs_a[i] == pairs_b[k]) {
      ++common;
      ++i;
      ++k;
    } else if (pairs_a[i] < pairs_b[k]) {
      ++i;
    } else {
      ++k;
    }
  }
  return 2.0 * static_cast<double>(common) / static_cast<double>(pairs_a.size() + pairs_b.size());
}

double StackAligner::weight(Side side, uint32_t frame, size_t depth) const {
  const FrameNames& names = names_.frame(side, frame);
  return frequency_.rarity(names.canonical()) * nearness_[depth] * (names.own ? 1.0 : 0.4);
}

double StackAligner::likeness_of_names(uint32_t base_last, uint32_t new_last) {
  const auto [found, is_new] = name_likeness_.try_emplace(uint64_t{base_last} << 32 | new_last);
  if (is_new)
    found->second = static_cast<float>(name_likeness(names_.name(base_last), names_.name(new_last)));
  return found->second;
}

double StackAligner::likeness(uint32_t base_frame, uint32_t new_frame, double alike_numbers) {
  const FrameNames& base = names_.frame(kBase, base_frame);
  const FrameNames& next = names_.frame(kNew, new_frame);
  if (base.canonical() == next.canonical())
    return 1;
  const bool same_file = base.file != 0 && base.file == next.file;
  const bool same_module = base.module == next.module;
  if (base.of(NameStrength::bare) == next.of(NameStrength::bare))
    return names_.name(base.last).ends_with("operator()") ? 0.7 : 0.95;
  if (base.last == next.last && same_module && !names_.name(base.last).ends_with("operator()"))
    return 0.85;
  // Renamed, if neither name exists on the other side; within one build nothing is.
  if (!same_module || (base.build != 0 && base.build == next.build) ||
      frequency_.sites(kNew, base.canonical()) != 0 || frequency_.sites(kBase, next.canonical()) != 0)
    return 0;
  const double alike = likeness_of_names(base.last, next.last);
  const double credit = 0.45 * alike + 0.35 * alike_numbers + (same_file ? 0.2 : 0.0);
  return credit < 0.45 ? 0 : std::min(credit, 0.8);
}

Alignment StackAligner::align(std::span<const uint32_t> base, std::span<const uint32_t> next,
                              double alike_numbers, bool with_substitutions) {
  base = base.first(std::min(base.size(), nearness_.size()));
  next = next.first(std::min(next.size(), nearness_.size()));
  base_weights_.resize(base.size());
  new_weights_.resize(next.size());
  double all = 0, equal_ends = 0;
  for (size_t i = 0; i < base.size(); ++i)
    all += base_weights_[i] = weight(kBase, base[i], i);
  for (size_t k = 0; k < next.size(); ++k)
    all += new_weights_[k] = weight(kNew, next[k], k);
  cells_ += base.size() + next.size();
  Alignment result;
  if (all <= 0)
    return result;
  // Equal callers are aligned with each other; only what is inside needs a table.
  while (!base.empty() && !next.empty() &&
         names_.frame(kBase, base.back()).canonical() == names_.frame(kNew, next.back()).canonical()) {
    equal_ends += base_weights_[base.size() - 1] + new_weights_[next.size() - 1];
    base = base.first(base.size() - 1);
    next = next.first(next.size() - 1);
  }
  // table[i][k]: best sum of the frames from i and k on.
  const size_t columns = next.size() + 1;
  table_.assign((base.size() + 1) * columns, 0);
  cells_ += base.size() * next.size();
  const auto at = [&](size_t i, size_t k) -> double& { return table_[i * columns + k]; };
  for (size_t i = base.size(); i-- > 0;)
    for (size_t k = next.size(); k-- > 0;) {
      const double alike = likeness(base[i], next[k], alike_numbers);
      const double taken = alike > 0 ? at(i + 1, k + 1) + alike * (base_weights_[i] + new_weights_[k]) : 0;
      at(i, k) = std::max({taken, at(i + 1, k), at(i, k + 1)});
    }
  result.score = std::min(1.0, (equal_ends + at(0, 0)) / all);
  if (!with_substitutions)
    return result;
  for (size_t i = 0, k = 0; i < base.size() && k < next.size();) {
    const double alike = likeness(base[i], next[k], alike_numbers);
    if (alike > 0 && at(i, k) == at(i + 1, k + 1) + alike * (base_weights_[i] + new_weights_[k])) {
      const uint32_t before = names_.frame(kBase, base[i]).canonical();
      const uint32_t after = names_.frame(kNew, next[k]).canonical();
      if (before != after)
        result.substitutions.push_back({before, after});
      ++i;
      ++k;
    } else if (at(i, k) == at(i + 1, k)) {
      ++i;
    } else {
      ++k;
    }
  }
  return result;
}

} // namespace hl
