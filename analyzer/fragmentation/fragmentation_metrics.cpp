// See fragmentation_metrics.h.
#include "fragmentation/fragmentation_metrics.h"

namespace hl {

std::vector<Metric> fragmentation_metrics(const FragmentationStudy& study) {
  const PageAccounts& accounts = study.accounts;
  const AccountBytes& pages = accounts.small.bytes;
  // Without residency the accounts are assumptions: no limit should be held against them.
  const bool known = accounts.confidence != Confidence::assumed;
  const auto value = [&](uint64_t number) { return known ? std::optional(number) : std::nullopt; };
  std::optional<uint64_t> footprint_peak;
  for (const HeapPoint& point : study.points)
    footprint_peak = std::max(footprint_peak.value_or(0), point.footprint_bytes);
  using enum MetricUnit;
  return {
      {"heap_resident_bytes", value(pages.resident()), bytes, "resident bytes of the allocator's regions"},
      {"heap_resident_peak_bytes", footprint_peak, bytes, "most of those at any full sample"},
      {"stranded_bytes", value(pages.stranded), bytes, "free bytes on pages that live blocks keep"},
      {"stranded_2m_bytes", value(accounts.huge.bytes.stranded), bytes, "the same for 2 MiB pages"},
      {"trimmable_bytes", value(pages.trimmable + pages.top), bytes,
       "resident bytes of pages with nothing live on them"},
      {"malloc_trim_bytes",
       accounts.allocator == AllocatorKind::glibc ? value(accounts.malloc_trim) : std::nullopt, bytes,
       "what malloc_trim(0) would give back (glibc)"},
      {"slack_bytes", value(pages.slack), bytes, "usable beyond what was requested, on resident pages"},
      {"heap_metadata_bytes", value(pages.metadata), bytes,
       "resident headers and tables of the allocator's, as far as known"},
      {"pinned_pages", value(accounts.small.pinned_pages), count, "resident pages that live blocks keep"},
      {"untouched_bytes", value(accounts.untouched), bytes, "live requested bytes on pages never touched"},
  };
}

} // namespace hl
