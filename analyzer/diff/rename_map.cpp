// See rename_map.h.
#include "diff/rename_map.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "diff/canonical_name.h"

namespace hl {
namespace {

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r");
  if (first == std::string_view::npos)
    return {};
  return text.substr(first, text.find_last_not_of(" \t\r") + 1 - first);
}

// The '=' between two names: with blanks around, for names hold it too (operator==).
size_t separator(std::string_view line) {
  const size_t spaced = line.find(" = ");
  return spaced == std::string_view::npos ? line.find('=') : spaced + 1;
}

} // namespace

void RenameMap::parse(std::string_view text, const std::string& name, std::vector<std::string>& wrong) {
  for (size_t number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = trimmed(text.substr(0, end));
    text.remove_prefix(std::min(text.size(), end + 1));
    if (line.empty() || line.front() == '#')
      continue;
    const size_t at = separator(line);
    const std::string_view before = at == std::string_view::npos ? line : trimmed(line.substr(0, at));
    const std::string_view after =
        at == std::string_view::npos ? std::string_view() : trimmed(line.substr(at + 1));
    const auto complain = [&](const char* reason) {
      wrong.push_back(name + ":" + std::to_string(number) + ": " + reason);
    };
    if (before.empty() || after.empty()) {
      complain("not of the form OLD = NEW");
    } else if (before.ends_with("::") != after.ends_with("::")) {
      complain("one is a scope (ends in ::), the other is not");
    } else if (before.ends_with("::")) {
      scopes_.emplace_back(before, after);
    } else {
      functions_[canonical_name(before).name] = canonical_name(after).name;
    }
  }
  std::stable_sort(scopes_.begin(), scopes_.end(),
                   [](const auto& a, const auto& b) { return a.first.size() > b.first.size(); });
}

std::string RenameMap::renamed(std::string_view canonical) const {
  if (const auto found = functions_.find(std::string(canonical)); found != functions_.end())
    return found->second;
  for (const auto& [before, after] : scopes_)
    if (canonical.starts_with(before))
      return after + std::string(canonical.substr(before.size()));
  return std::string(canonical);
}

RenameMap read_renames(const std::string& path, std::vector<std::string>& wrong) {
  RenameMap map;
  std::FILE* file = std::fopen(path.c_str(), "re");
  std::string text;
  if (file != nullptr) {
    char buffer[65536];
    constexpr size_t kMaxBytes = 64 << 20;
    for (size_t got; text.size() < kMaxBytes && (got = std::fread(buffer, 1, sizeof buffer, file)) != 0;)
      text.append(buffer, got);
  }
  if (file == nullptr || std::ferror(file) != 0)
    wrong.push_back(path + ": " + std::strerror(errno));
  if (file != nullptr)
    std::fclose(file);
  map.parse(text, path, wrong);
  return map;
}

} // namespace hl
