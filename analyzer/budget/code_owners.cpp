// See code_owners.h.
#include "budget/code_owners.h"

#include <fstream>
#include <sstream>

namespace hl {
namespace {

// `*` and `?` stay within a component, `**` does not. Iterative, with one point to go back to for each kind
// of star: linear for `*`, quadratic at worst with `**`.
bool glob(std::string_view pattern, std::string_view text) {
  constexpr size_t kNone = std::string_view::npos;
  size_t p = 0, t = 0;
  size_t star_p = kNone, star_t = 0, deep_p = kNone, deep_t = 0;
  for (;;) {
    if (pattern.substr(p).starts_with("**")) {
      p += 2;
      if (p < pattern.size() && pattern[p] == '/')
        ++p; // "**/" may stand for nothing
      deep_p = p;
      deep_t = t;
      star_p = kNone;
      continue;
    }
    if (p < pattern.size() && pattern[p] == '*') {
      star_p = ++p;
      star_t = t;
      continue;
    }
    if (p == pattern.size() && t == text.size())
      return true;
    if (p < pattern.size() && t < text.size() &&
        ((pattern[p] == '?' && text[t] != '/') || pattern[p] == text[t])) {
      ++p;
      ++t;
      continue;
    }
    if (star_p != kNone && star_t < text.size() && text[star_t] != '/') {
      p = star_p;
      t = ++star_t;
      continue;
    }
    if (deep_p != kNone && deep_t < text.size()) {
      // A directory at a time where "**/" stood, else a character.
      const bool whole = deep_p >= 1 && pattern[deep_p - 1] == '/';
      const size_t slash = text.find('/', deep_t);
      if (whole && slash == kNone)
        return false;
      deep_t = whole ? slash + 1 : deep_t + 1;
      p = deep_p;
      t = deep_t;
      star_p = kNone;
      continue;
    }
    return false;
  }
}

} // namespace

void CodeOwners::parse(std::string_view text) {
  while (!text.empty()) {
    const size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    Rule rule{};
    size_t at = line.find_first_not_of(" \t\r");
    if (at == std::string_view::npos || line[at] == '#' || line[at] == '!' || line[at] == '[' ||
        line.substr(at).starts_with("^["))
      continue;
    for (; at < line.size() && line[at] != ' ' && line[at] != '\t' && line[at] != '\r'; ++at) {
      if (line[at] == '\\' && at + 1 < line.size())
        ++at; // "\ ": a blank of the path
      rule.pattern += line[at];
    }
    for (;;) {
      at = line.find_first_not_of(" \t\r", at);
      if (at == std::string_view::npos || line[at] == '#')
        break;
      const size_t stop = std::min(line.find_first_of(" \t\r", at), line.size());
      rule.owners += (rule.owners.empty() ? "" : " ") + std::string(line.substr(at, stop - at));
      at = stop;
    }
    rule.directory = rule.pattern.ends_with('/');
    while (rule.pattern.ends_with('/'))
      rule.pattern.pop_back();
    rule.anchored = rule.pattern.find('/') != std::string::npos;
    while (rule.pattern.starts_with('/'))
      rule.pattern.erase(0, 1);
    if (!rule.pattern.empty())
      rules_.push_back(std::move(rule));
  }
}

bool CodeOwners::matches(const Rule& rule, std::string_view path) {
  const auto fits = [&](std::string_view part) {
    if (rule.anchored)
      return glob(rule.pattern, part);
    const size_t slash = part.rfind('/');
    return glob(rule.pattern, slash == std::string_view::npos ? part : part.substr(slash + 1));
  };
  if (!rule.directory && fits(path))
    return true;
  // A directory that matches has all that lies below; "dir/*" means the files in it alone.
  if (!rule.directory && rule.pattern.ends_with("/*"))
    return false;
  for (size_t slash = path.find('/'); slash != std::string_view::npos; slash = path.find('/', slash + 1))
    if (fits(path.substr(0, slash)))
      return true;
  return false;
}

std::string CodeOwners::owners(std::string_view path) const {
  for (size_t i = rules_.size(); i-- > 0;)
    if (matches(rules_[i], path))
      return rules_[i].owners;
  return {};
}

CodeOwners read_code_owners(const std::string& root) {
  CodeOwners owners;
  for (const char* place : {".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS"}) {
    std::ifstream file(root + "/" + place, std::ios::binary);
    if (!file)
      continue;
    std::ostringstream text;
    text << file.rdbuf();
    owners.parse(text.str());
    break;
  }
  return owners;
}

} // namespace hl
