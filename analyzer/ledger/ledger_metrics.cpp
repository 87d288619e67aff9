// See ledger_metrics.h.
#include "ledger/ledger_metrics.h"

namespace hl {
namespace {

// Split by the layout of the heap's pages, so not known where residency is assumed.
bool is_of_heap(Account account) {
  return account <= Account::trimmable;
}

} // namespace

std::vector<Metric> ledger_metrics(const Ledger* ledger) {
  const bool split = ledger != nullptr && ledger->confidence != Confidence::assumed;
  std::vector<Metric> metrics;
  metrics.push_back({"ledger.rss_bytes", ledger != nullptr ? std::optional(ledger->rss) : std::nullopt,
                     MetricUnit::bytes, "resident memory of the sample, the sum of the accounts"});
  for (size_t i = 0; i < kAccounts; ++i) {
    const auto account = static_cast<Account>(i);
    std::optional<uint64_t> value;
    if (is_of_heap(account) ? split : ledger != nullptr)
      value = ledger->bytes[i];
    metrics.push_back({"ledger." + std::string(to_string(account)) + "_bytes", value, MetricUnit::bytes,
                       "resident: " + std::string(describe(account))});
  }
  return metrics;
}

} // namespace hl
