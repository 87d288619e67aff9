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

// What each rule suppressed.
class SuppressionTally {
 public:
  struct Hits {
    uint64_t sites = 0;
    uint64_t blocks = 0;
    uint64_t bytes = 0;
  };

  explicit SuppressionTally(size_t rules) : by_rule_(rules) {}
  void add(size_t rule, uint64_t blocks, uint64_t bytes) {
    for (Hits* hits : {&by_rule_.at(rule), &total_}) {
      ++hits->sites;
      hits->blocks += blocks;
      hits->bytes += bytes;
    }
  }
  const Hits& of(size_t rule) const { return by_rule_.at(rule); }
  const Hits& total() const { return total_; }
  size_t size() const { return by_rule_.size(); }

 private:
  std::vector<Hits> by_rule_;
  Hits total_;
};

} // namespace hl
