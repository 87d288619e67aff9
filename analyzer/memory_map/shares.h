// Sharing a number out among parts so that the parts add up to it exactly.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace hl {

// Parts of `total` in the proportion of `weights`, in whole units of `unit` but for the last rest; no part
// greater than its limit as long as the limits have room. Weights of 0 throughout: limits are the weights.
// The parts add up to `total`.
std::vector<uint64_t> share_out(uint64_t total, std::span<const uint64_t> weights,
                                std::span<const uint64_t> limits, uint64_t unit = 1024);

} // namespace hl
