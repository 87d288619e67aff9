// See process_maps.h.
#include "scan/process_maps.h"

#include <algorithm>

#include "reader/text_take.h"

namespace hl {
namespace {

std::string_view take_word(std::string_view& text) {
  const size_t end = std::min(text.find(' '), text.size());
  const std::string_view word = text.substr(0, end);
  text.remove_prefix(end);
  return word;
}

// "start-end perms offset major:minor inode          path"
bool parse_line(std::string_view line, MapsEntry& out) {
  if (!take_number(line, 16, out.start) || !take_char(line, '-') || !take_number(line, 16, out.end) ||
      !take_char(line, ' '))
    return false;
  const std::string_view rights = take_word(line);
  if (rights.size() != 4 || out.end <= out.start)
    return false;
  out.readable = rights[0] == 'r';
  out.writable = rights[1] == 'w';
  out.executable = rights[2] == 'x';
  out.shared = rights[3] == 's';
  if (!take_char(line, ' ') || !take_number(line, 16, out.offset) || !take_char(line, ' '))
    return false;
  take_word(line); // device
  if (!take_char(line, ' ') || !take_number(line, 10, out.inode))
    return false;
  line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
  out.path = line;
  return true;
}

} // namespace

std::vector<MapsEntry> parse_maps(std::string_view text) {
  std::vector<MapsEntry> found;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    MapsEntry entry;
    if (parse_line(text.substr(0, end), entry) && (found.empty() || entry.start >= found.back().end))
      found.push_back(std::move(entry));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return found;
}

const MapsEntry* entry_at(std::span<const MapsEntry> maps, uint64_t address) {
  const auto after = std::upper_bound(maps.begin(), maps.end(), address,
                                      [](uint64_t a, const MapsEntry& e) { return a < e.start; });
  if (after == maps.begin() || !(after - 1)->holds(address))
    return nullptr;
  return &*(after - 1);
}

std::span<const MapsEntry> entries_in(std::span<const MapsEntry> maps, uint64_t start, uint64_t end) {
  const auto from = std::lower_bound(maps.begin(), maps.end(), start,
                                     [](const MapsEntry& e, uint64_t a) { return e.end <= a; });
  const auto to =
      std::lower_bound(from, maps.end(), end, [](const MapsEntry& e, uint64_t a) { return e.start < a; });
  return {from, to};
}

std::string_view file_name_of(std::string_view path) {
  constexpr std::string_view kDeleted = " (deleted)";
  if (path.ends_with(kDeleted))
    path.remove_suffix(kDeleted.size());
  return path.substr(path.rfind('/') + 1); // npos + 1 is 0
}

} // namespace hl
