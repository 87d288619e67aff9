// See memory_text.h.
#include "memory_text.h"

#include <algorithm>
#include <charconv>
#include <utility>

namespace hl {

namespace {

constexpr uint64_t kKilobyte = 1024;

// Calls `visit` with each line, without its end.
template <typename Visit> void for_each_line(std::string_view text, Visit visit) {
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    visit(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

struct KeyField {
  std::string_view key;
  UsageField field;
};

// Keys of smaps and smaps_rollup, with their colons.
constexpr KeyField kRollupKeys[] = {
    {"Rss:", UsageField::rollup_rss},
    {"Pss:", UsageField::pss},
    {"Pss_Dirty:", UsageField::pss_dirty},
    {"Pss_Anon:", UsageField::pss_anon},
    {"Pss_File:", UsageField::pss_file},
    {"Pss_Shmem:", UsageField::pss_shmem},
    {"Shared_Clean:", UsageField::shared_clean},
    {"Shared_Dirty:", UsageField::shared_dirty},
    {"Private_Clean:", UsageField::private_clean},
    {"Private_Dirty:", UsageField::private_dirty},
    {"Anonymous:", UsageField::anonymous},
    {"LazyFree:", UsageField::lazy_free},
    {"AnonHugePages:", UsageField::anon_huge_pages},
    {"Swap:", UsageField::swap},
    {"SwapPss:", UsageField::swap_pss},
    {"Locked:", UsageField::locked},
};

// "Key:   123 kB": the field it belongs to and its bytes.
std::optional<std::pair<UsageField, uint64_t>> rollup_line(std::string_view line) {
  const size_t colon = line.find(':');
  if (colon == line.npos)
    return std::nullopt;
  const std::string_view key = line.substr(0, colon + 1);
  for (const KeyField& known : kRollupKeys) {
    if (known.key != key)
      continue;
    const auto kilobytes = leading_number(line.substr(colon + 1));
    if (!kilobytes || *kilobytes > UINT64_MAX / kKilobyte)
      return std::nullopt;
    return std::pair(known.field, *kilobytes * kKilobyte);
  }
  return std::nullopt;
}

// "7f00-7f10 rw-p ...": the header of a mapping.
bool mapping_line(std::string_view line, MappedRange& out) {
  const char* const end = line.data() + line.size();
  const auto [dash, error] = std::from_chars(line.data(), end, out.start, 16);
  if (error != std::errc() || dash == end || *dash != '-')
    return false;
  const auto [space, second] = std::from_chars(dash + 1, end, out.end, 16);
  return second == std::errc() && (space == end || *space == ' ') && out.start < out.end;
}

} // namespace

void UsageFields::merge(const UsageFields& other) {
  for (size_t i = 0; i < values.size(); i++)
    if (other.values[i] != kFieldUnread)
      values[i] = other.values[i];
}

std::optional<uint64_t> leading_number(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t'))
    text.remove_prefix(1);
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() ? std::optional(number) : std::nullopt;
}

std::optional<uint64_t> number_of(std::string_view text, std::string_view name) {
  std::optional<uint64_t> found;
  for_each_line(text, [&](std::string_view line) {
    if (!found && line.size() > name.size() && line.starts_with(name) && line[name.size()] == ' ')
      found = leading_number(line.substr(name.size() + 1));
  });
  return found;
}

bool parse_statm(std::string_view text, uint64_t page_bytes, UsageFields& out) {
  uint64_t pages[3];
  for (uint64_t& value : pages) {
    const auto number = leading_number(text);
    if (!number || *number > UINT64_MAX / page_bytes)
      return false;
    value = *number;
    const size_t digits = text.find_first_not_of(' ');
    const size_t blank = text.find(' ', digits);
    text = blank == text.npos ? std::string_view() : text.substr(blank);
  }
  out[UsageField::size] = pages[0] * page_bytes;
  out[UsageField::rss] = pages[1] * page_bytes;
  out[UsageField::shared] = pages[2] * page_bytes;
  return true;
}

bool parse_stat(std::string_view text, UsageFields& out) {
  // The second field, the name, may hold anything; the third follows its last parenthesis.
  const size_t name_end = text.rfind(')');
  if (name_end == text.npos)
    return false;
  constexpr int kMinorFaults = 10, kMajorFaults = 12, kThreads = 20;
  uint64_t minor = 0, major = 0;
  int field = 2;
  for (size_t at = text.find(' ', name_end); at != text.npos; at = text.find(' ', at + 1)) {
    field++;
    const auto number = leading_number(text.substr(at + 1));
    if (field == kMinorFaults && number)
      minor = *number;
    if (field == kMajorFaults && number)
      major = *number;
    if (field == kThreads && number) {
      out[UsageField::minor_faults] = minor;
      out[UsageField::major_faults] = major;
      out[UsageField::threads] = *number;
      return true;
    }
  }
  return false;
}

void parse_status(std::string_view text, UsageFields& out) {
  // All tables, not only those of the lowest level (mm_pgtables_bytes); the OOM killer counts the same.
  constexpr std::string_view kName = "\nVmPTE:";
  const size_t at = text.find(kName);
  if (at == text.npos)
    return;
  const auto kib = leading_number(text.substr(at + kName.size()));
  if (kib && *kib < (uint64_t{1} << 50))
    out[UsageField::page_tables] = *kib * 1024;
}

bool parse_rollup(std::string_view text, UsageFields& out) {
  bool any = false;
  for_each_line(text, [&](std::string_view line) {
    if (const auto known = rollup_line(line)) {
      out[known->first] = known->second;
      any = true;
    }
  });
  return any;
}

bool parse_smaps(std::string_view text, std::vector<MappedRange>& ranges, UsageFields& out) {
  UsageFields sums;
  bool good = true, skipped = false;
  for_each_line(text, [&](std::string_view line) {
    if (line.empty())
      return;
    // Keys begin with a capital letter.
    if (line[0] < 'A' || line[0] > 'Z') {
      MappedRange range;
      good = good && mapping_line(line, range);
      // A mapping that grew towards lower addresses between two reads is told again with what was told
      // before.
      if (good && !ranges.empty())
        range.start = std::max(range.start, ranges.back().end);
      skipped = !good || range.start >= range.end;
      if (!skipped)
        ranges.push_back(range);
      return;
    }
    const auto known = rollup_line(line);
    if (!known || ranges.empty() || !good || skipped)
      return;
    const auto [field, bytes] = *known;
    sums[field] = (sums.has(field) ? sums[field] : 0) + bytes;
    MappedRange& range = ranges.back();
    if (field == UsageField::rollup_rss)
      range.rss = bytes;
    else if (field == UsageField::swap)
      range.swap = bytes;
    else if (field == UsageField::shared_clean || field == UsageField::shared_dirty)
      range.shared += bytes;
  });
  if (!good || ranges.empty())
    return false;
  out.merge(sums);
  out[UsageField::mappings] = ranges.size();
  return true;
}

void parse_meminfo(std::string_view text, UsageFields& out) {
  for_each_line(text, [&](std::string_view line) {
    for (const auto& [key, field] :
         {std::pair<std::string_view, UsageField>("MemTotal:", UsageField::machine_total),
          {"MemAvailable:", UsageField::machine_available}})
      if (line.starts_with(key))
        if (const auto kilobytes = leading_number(line.substr(key.size())))
          out[field] = *kilobytes * kKilobyte;
  });
}

std::optional<uint64_t> parse_pressure(std::string_view text) {
  constexpr std::string_view kTotal = "total=";
  const size_t at = text.find(kTotal);
  if (!text.starts_with("some ") || at == text.npos || at > text.find('\n'))
    return std::nullopt;
  return leading_number(text.substr(at + kTotal.size()));
}

} // namespace hl
