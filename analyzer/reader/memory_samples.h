// What the recorder noted of the process's memory beside its events: the kernel's counters over time (usage)
// and, now and then, every mapping with its resident pages (residency).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "heapledger/trace_format.h"
#include "reader/trace.h"

namespace hl {

inline constexpr uint64_t kUsageUnread = ~uint64_t{0};

// Values by UsageField; kUsageUnread: not read at that moment.
struct UsageValues {
  std::array<uint64_t, kUsageFields> values;
  UsageValues() { values.fill(kUsageUnread); }
  bool has(UsageField field) const { return values[static_cast<size_t>(field)] != kUsageUnread; }
  // 0 where it was not read.
  uint64_t of(UsageField field) const { return has(field) ? values[static_cast<size_t>(field)] : 0; }
};

struct UsageSample {
  uint64_t ticks = 0;
  UsageValues values;
};

struct AddressRange {
  uint64_t start, end;
};

// Pages [start, end) in one state.
struct PageRange {
  uint64_t start, end; // addresses
  PageState state;
};

struct ResidencySample {
  uint64_t ticks = 0, end_ticks = 0;
  uint64_t cpu_ns = 0;
  uint32_t page_bytes = 4096;
  SampleCause cause = SampleCause::unknown;
  uint8_t flags = 0; // ResidencyFlags
  std::string name;
  UsageValues usage;
  ChunkPlace place{}; // in the file it was read from
  // Empty unless the whole was asked for:
  std::string smaps;
  std::vector<AddressRange> own; // memory of the recording itself; by address
  std::vector<PageRange> pages;  // by address, not overlapping

  bool consistent() const { return (flags & kResidencyConsistent) != 0; }
  bool has_pages() const { return (flags & kResidencyNoPages) == 0; }
};

// nullopt: the payload cannot be what it claims.
std::optional<std::vector<UsageSample>> parse_usage(std::span<const uint8_t> payload);
// `whole` false: without smaps, own ranges and pages.
std::optional<ResidencySample> parse_residency(std::span<const uint8_t> payload, bool whole = true);

// All of a trace, oldest first. What is damaged is told to the trace's problem log.
std::vector<UsageSample> usage_samples(const Trace& trace);
std::vector<ResidencySample> list_residency_samples(const Trace& trace); // not whole
std::optional<ResidencySample> load_residency_sample(const Trace& trace, const ResidencySample& listed);

} // namespace hl
