// See smaps.h. Format: Linux, Documentation/filesystems/proc.rst; Android's kernels before 5.18 put the name
// of an anonymous mapping into a "Name:" line below its header.
#include "memory_map/smaps.h"

#include <algorithm>
#include <cctype>
#include <cstddef>

#include "reader/text_take.h"

namespace hl {
namespace {

constexpr size_t kMaxProblems = 8;
constexpr std::string_view kBlanks = " \t";

std::string_view trimmed(std::string_view text) {
  const size_t from = text.find_first_not_of(kBlanks);
  if (from == std::string_view::npos)
    return {};
  return text.substr(from, text.find_last_not_of(" \t\r") - from + 1);
}

void take_blanks(std::string_view& text) {
  text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));
}

void set_name(Vma& vma, std::string_view name) {
  constexpr std::string_view kDeleted = " (deleted)";
  vma.deleted = name.ends_with(kDeleted);
  if (vma.deleted)
    name.remove_suffix(kDeleted.size());
  vma.name = std::string(name);
}

// "start-end rwxp offset major:minor inode          name"
bool parse_header(std::string_view line, Vma& out) {
  if (!take_number(line, 16, out.start) || !take_char(line, '-') || !take_number(line, 16, out.end) ||
      !take_char(line, ' ') || out.end <= out.start || line.size() < 5)
    return false;
  const std::string_view rights = line.substr(0, 4);
  if (rights.find_first_not_of("rwxsp-") != std::string_view::npos)
    return false;
  out.readable = rights[0] == 'r';
  out.writable = rights[1] == 'w';
  out.executable = rights[2] == 'x';
  out.shared = rights[3] == 's';
  line.remove_prefix(4);
  if (!take_char(line, ' ') || !take_number(line, 16, out.offset) || !take_char(line, ' '))
    return false;
  line.remove_prefix(std::min(line.find(' '), line.size())); // device
  if (!take_char(line, ' ') || !take_number(line, 10, out.inode))
    return false;
  take_blanks(line);
  set_name(out, line);
  return true;
}

struct Field {
  std::string_view name;
  uint64_t VmaNumbers::*number;
};
constexpr Field kFields[] = {
    {"Rss", &VmaNumbers::rss},
    {"Pss", &VmaNumbers::pss},
    {"Pss_Dirty", &VmaNumbers::pss_dirty},
    {"Shared_Clean", &VmaNumbers::shared_clean},
    {"Shared_Dirty", &VmaNumbers::shared_dirty},
    {"Private_Clean", &VmaNumbers::private_clean},
    {"Private_Dirty", &VmaNumbers::private_dirty},
    {"Referenced", &VmaNumbers::referenced},
    {"Anonymous", &VmaNumbers::anonymous},
    {"LazyFree", &VmaNumbers::lazy_free},
    {"AnonHugePages", &VmaNumbers::anon_huge_pages},
    {"Swap", &VmaNumbers::swap},
    {"SwapPss", &VmaNumbers::swap_pss},
    {"Locked", &VmaNumbers::locked},
    {"Shared_Hugetlb", &VmaNumbers::hugetlb},
    {"Private_Hugetlb", &VmaNumbers::hugetlb},
};

enum class LineResult : uint8_t { fine, not_a_field, impossible };

// "Name:   value", of the mapping above it.
LineResult parse_field(std::string_view line, Vma& vma) {
  const size_t colon = line.find(':');
  const auto is_name_char = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
  };
  if (colon == std::string_view::npos || colon == 0 ||
      !std::all_of(line.begin(), line.begin() + static_cast<std::ptrdiff_t>(colon), is_name_char))
    return LineResult::not_a_field;
  const std::string_view name = line.substr(0, colon);
  std::string_view value = trimmed(line.substr(colon + 1));
  if (name == "Name") {
    if (vma.name.empty())
      set_name(vma, value);
    return LineResult::fine;
  }
  for (const Field& field : kFields) {
    if (field.name != name)
      continue;
    uint64_t kib = 0;
    // No mapping has more of anything than its size: so no sum over mappings can overflow either.
    if (!take_number(value, 10, kib) || trimmed(value) != "kB" || kib > vma.bytes() / 1024)
      return LineResult::impossible;
    vma.numbers.*field.number += kib * 1024;
    return LineResult::fine;
  }
  return LineResult::fine; // Size, VmFlags, ProtectionKey, and what later kernels add
}

void note(Smaps& smaps, size_t line_number, const char* what) {
  ++smaps.bad_lines;
  if (smaps.problems.size() < kMaxProblems)
    smaps.problems.push_back("line " + std::to_string(line_number) + ": " + what);
}

} // namespace

void VmaNumbers::add(const VmaNumbers& other) {
  rss += other.rss;
  pss += other.pss;
  pss_dirty += other.pss_dirty;
  shared_clean += other.shared_clean;
  shared_dirty += other.shared_dirty;
  private_clean += other.private_clean;
  private_dirty += other.private_dirty;
  referenced += other.referenced;
  anonymous += other.anonymous;
  lazy_free += other.lazy_free;
  anon_huge_pages += other.anon_huge_pages;
  swap += other.swap;
  swap_pss += other.swap_pss;
  locked += other.locked;
  hugetlb += other.hugetlb;
}

Smaps parse_smaps(std::string_view text) {
  Smaps smaps;
  bool skipping = false; // the fields of a mapping that is not kept
  std::vector<std::string_view> seen;
  bool sorted = true;
  for (size_t line_number = 1; !text.empty(); ++line_number) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    while (!line.empty() && (line.back() == '\r' || line.back() == ' '))
      line.remove_suffix(1);
    if (trimmed(line).empty())
      continue;
    Vma vma;
    if (parse_header(line, vma)) {
      skipping = vma.name == "[rollup]";
      if (skipping) {
        note(smaps, line_number, "this is smaps_rollup, which holds totals alone");
        continue;
      }
      sorted = sorted && (smaps.vmas.empty() || smaps.vmas.back().end <= vma.start);
      smaps.vmas.push_back(std::move(vma));
      seen.clear();
      continue;
    }
    if (skipping)
      continue;
    if (smaps.vmas.empty()) {
      note(smaps, line_number, "text before the first mapping");
      continue;
    }
    // A field twice is not added twice.
    const std::string_view name = line.substr(0, std::min(line.find(':'), line.size()));
    if (std::find(seen.begin(), seen.end(), name) != seen.end()) {
      note(smaps, line_number, "the same number again");
      continue;
    }
    switch (parse_field(line, smaps.vmas.back())) {
    case LineResult::fine:
      if (seen.size() < 64)
        seen.push_back(name);
      break;
    case LineResult::not_a_field:
      note(smaps, line_number, "neither a mapping nor a number of one");
      break;
    case LineResult::impossible:
      note(smaps, line_number, "not a number this mapping can have");
      break;
    }
  }
  if (!sorted) {
    std::stable_sort(smaps.vmas.begin(), smaps.vmas.end(),
                     [](const Vma& a, const Vma& b) { return a.start < b.start; });
    // Read while the process went on mapping, or two texts in one: the first that says it keeps its bytes.
    size_t kept = 0;
    for (size_t i = 0; i < smaps.vmas.size(); ++i) {
      if (kept != 0 && smaps.vmas[kept - 1].end > smaps.vmas[i].start) {
        ++smaps.bad_lines;
        if (smaps.problems.size() < kMaxProblems)
          smaps.problems.push_back("mappings overlap: the later one was left out");
        continue;
      }
      if (kept != i)
        smaps.vmas[kept] = std::move(smaps.vmas[i]);
      ++kept;
    }
    smaps.vmas.resize(kept);
  }
  return smaps;
}

} // namespace hl
