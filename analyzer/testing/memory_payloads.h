// Payloads of usage and residency chunks, built by hand from docs/format.md. Shares no code with the
// recorder.
#pragma once

#include <cstdint>
#include <vector>

#include "reader/memory_samples.h"

namespace hl::testing {

std::vector<uint8_t> usage_payload(const std::vector<UsageSample>& samples);
std::vector<uint8_t> residency_payload(const ResidencySample& sample);

} // namespace hl::testing
