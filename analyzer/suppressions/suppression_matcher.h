// Which rule, if any, suppresses a stack. Asked for every site of a report (a hundred thousand and more)
// against some hundred rules, so nothing is tried twice: each distinct text meets each distinct pattern once,
// each distinct frame knows which frame patterns it satisfies, and a stack is compared only with rules whose
// most telling frame it has.
//
// Frames are told apart by where their texts lie, not by what these say: they must be interned
// (StackResolver's are), and stay where they are as long as the matcher lives. Not thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "suppressions/suppression_rule.h"

namespace hl {

class SuppressionMatcher {
 public:
  explicit SuppressionMatcher(std::vector<SuppressionRule> rules);
  ~SuppressionMatcher();
  SuppressionMatcher(const SuppressionMatcher&) = delete;
  SuppressionMatcher& operator=(const SuppressionMatcher&) = delete;

  // In the order given: the first that matches wins.
  const std::vector<SuppressionRule>& rules() const { return rules_; }
  // The index of the first rule that suppresses a leak of this class with this stack.
  std::optional<size_t> match(std::span<const SuppressionFrame> innermost_first, LeakClass leak_class);

 private:
  struct Index;

  std::vector<SuppressionRule> rules_;
  std::unique_ptr<Index> index_;
};

} // namespace hl
