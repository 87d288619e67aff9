// How the accounts of the ledger changed over time, and when memory runs into its limit if it goes on like
// that.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "analyses/growth.h"
#include "ledger/ledger.h"
#include "reader/memory_samples.h"

namespace hl {

struct LedgerPoint {
  uint64_t ticks = 0;
  uint64_t rss = 0;
  std::array<uint64_t, kAccounts> bytes{};
};

// Of what the kernel counts against the limit that comes first: the cgroup's, else the machine's memory.
struct LedgerForecast {
  uint64_t limit_bytes = 0; // 0: no limit is known
  bool of_cgroup = false;
  uint64_t used_bytes = 0; // at the last sample
  Slope bytes_per_second;  // over the judged part; all zero: too few samples to tell
  uint64_t judged_ns = 0;  // its length
  // Until the limit, from the last sample on; only where the whole confidence interval of the slope is above
  // zero.
  std::optional<uint64_t> reached_in_ns;
};

// Over the second half of the samples in time (the first may be warm-up).
LedgerForecast forecast(std::span<const UsageSample> usage, const TraceClock& clock);

} // namespace hl
