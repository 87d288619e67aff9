// What the kernel writes about memory, as text, into numbers: /proc/PID/statm, stat, status, smaps_rollup,
// smaps, /proc/meminfo, pressure files, and the memory files of cgroups of both kinds. Pure functions: what
// is read from a running process is read from a saved text in the tests. A text may be cut off anywhere or be
// nonsense: what cannot be read stays unread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "heapledger/trace_format.h"

namespace hl {

inline constexpr uint64_t kFieldUnread = ~uint64_t{0};

// Values by UsageField, bytes unless the field says otherwise.
struct UsageFields {
  std::array<uint64_t, kUsageFields> values;
  UsageFields() { values.fill(kFieldUnread); }
  uint64_t& operator[](UsageField field) { return values[static_cast<size_t>(field)]; }
  uint64_t operator[](UsageField field) const { return values[static_cast<size_t>(field)]; }
  bool has(UsageField field) const { return (*this)[field] != kFieldUnread; }
  // Takes over what `other` has.
  void merge(const UsageFields& other);
};

// A mapping of /proc/PID/smaps, as far as its pages must be looked for. Bytes.
struct MappedRange {
  uint64_t start = 0, end = 0;
  uint64_t rss = 0, swap = 0;
  uint64_t shared = 0; // Shared_Clean + Shared_Dirty
};

// Decimal number at the start of a text, after blanks. nullopt: there is none, or it does not fit.
std::optional<uint64_t> leading_number(std::string_view text);
// The number behind "NAME ", at the start of a line ("name 123"); as memory.stat and memory.events have it.
std::optional<uint64_t> number_of(std::string_view text, std::string_view name);

// /proc/PID/statm: size, rss, shared.
bool parse_statm(std::string_view text, uint64_t page_bytes, UsageFields& out);
// /proc/PID/stat: faults and threads.
bool parse_stat(std::string_view text, UsageFields& out);
// /proc/PID/status: page_tables.
void parse_status(std::string_view text, UsageFields& out);
// /proc/PID/smaps_rollup: pss ... rollup_rss.
bool parse_rollup(std::string_view text, UsageFields& out);
// /proc/PID/smaps: every mapping, and the sums of the fields that smaps_rollup has too, and `mappings`.
bool parse_smaps(std::string_view text, std::vector<MappedRange>& ranges, UsageFields& out);
// /proc/meminfo: machine_total, machine_available.
void parse_meminfo(std::string_view text, UsageFields& out);
// Microseconds that "some" task waited for memory: a pressure file (PSI). nullopt: not such a text.
std::optional<uint64_t> parse_pressure(std::string_view text);

} // namespace hl
