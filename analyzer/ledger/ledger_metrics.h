// The accounts of the ledger as named numbers, for `metrics` and --max: ledger.stranded_bytes ...
#pragma once

#include <vector>

#include "analyses/metrics.h"
#include "ledger/ledger.h"

namespace hl {

// nullptr: no sample tells; the names are there, without values. So are the heap's accounts where they are
// only assumed.
std::vector<Metric> ledger_metrics(const Ledger* ledger);

} // namespace hl
