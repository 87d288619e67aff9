// How alike two stacks are that are not equal: an alignment of their frames, in which frames near the
// allocation and rare functions weigh most. main() and the event loop, which everybody has, say nothing.
//
// Weight of a frame: rarity log(1 + sites / sites with it) / log(1 + sites), times 0.88^n (at least 0.25) for
// the n-th frame from the allocation, times 0.4 in a system library. Score: the weights of aligned frames,
// each times how alike the two are, over all weights of both stacks; 1: equal.
#pragma once

#include <array>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "diff/compared_names.h"

namespace hl {

// For each canonical number, how many sites of both profiles have it.
class FunctionFrequency {
 public:
  FunctionFrequency(const ComparedNames& names, const std::vector<std::vector<uint32_t>>& base_stacks,
                    const std::vector<std::vector<uint32_t>>& new_stacks);
  double rarity(uint32_t canonical) const { return rarity_[canonical]; }
  // On how many sites of one side.
  uint32_t sites(Side side, uint32_t canonical) const { return sites_[side][canonical]; }

 private:
  std::array<std::vector<uint32_t>, 2> sites_;
  std::vector<float> rarity_;
};

// Two frames that alignment took for one although their names differ.
struct Substitution {
  uint32_t base, next; // canonical numbers
};

struct Alignment {
  double score = 0;
  std::vector<Substitution> substitutions;
};

// How alike two names look: 0 ... 1 (Dice's coefficient over pairs of letters, without case).
double name_likeness(std::string_view a, std::string_view b);

class StackAligner {
 public:
  StackAligner(const ComparedNames& names, const FunctionFrequency& frequency);

  // Stacks: kept frames, innermost first, as frame indices of their profile. `alike_numbers` (0 ... 1): how
  // close the numbers of the two sites are; it lets a function with another name count as renamed.
  Alignment align(std::span<const uint32_t> base, std::span<const uint32_t> next, double alike_numbers,
                  bool with_substitutions);
  // What was computed so far, in cells of the tables.
  uint64_t cells() const { return cells_; }

 private:
  double weight(Side side, uint32_t frame, size_t depth) const;
  double likeness(uint32_t base_frame, uint32_t new_frame, double alike_numbers);
  double likeness_of_names(uint32_t base_last, uint32_t new_last);

  const ComparedNames& names_;
  const FunctionFrequency& frequency_;
  std::array<double, 96> nearness_; // by depth; its size is how much of a stack is looked at
  uint64_t cells_ = 0;
  std::unordered_map<uint64_t, float> name_likeness_; // by the numbers of two last components
  std::vector<double> base_weights_, new_weights_, table_;
};

} // namespace hl
