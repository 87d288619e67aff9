// LeakSanitizer's suppressions: `leak:PATTERN`, one a line. heaptrack reads the same, and so are the texts
// that programs return from __lsan_default_suppressions.
//
// Two differences from LeakSanitizer, which both only make more rules do what they say: blanks around the
// pattern do not count, and a trailing `$` finds the end even where the pattern also occurs earlier in the
// name.
#include "suppressions/suppression_lines.h"

namespace hl {
namespace {

// "race" of "race:Foo", "signed-integer-overflow" of UBSan's; empty for "std::foo" and for plain words.
std::string_view kind_of(std::string_view line) {
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos || line.substr(colon).starts_with("::"))
    return {};
  const std::string_view kind = line.substr(0, colon);
  for (const char c : kind) {
    const bool is_word =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
    if (!is_word)
      return {};
  }
  return kind;
}

} // namespace

void parse_leak_templates(std::string_view text, const SuppressionSink& sink) {
  SuppressionLines lines(text);
  std::string_view line;
  while (lines.next(line)) {
    const std::string_view kind = kind_of(line);
    if (kind.empty()) {
      sink.error(lines.number(), "a suppression reads leak:PATTERN, not " + quoted(line));
      continue;
    }
    if (kind != "leak") {
      ++sink.parsed.skipped[std::string(kind)];
      continue;
    }
    std::string_view pattern = line.substr(kind.size() + 1);
    pattern.remove_prefix(std::min(pattern.find_first_not_of(" \t"), pattern.size()));
    const size_t dollar = pattern.find('$');
    if (pattern.empty()) {
      sink.error(lines.number(), "'leak:' without a pattern; leak:* matches everything");
    } else if (dollar != std::string_view::npos && dollar + 1 != pattern.size()) {
      sink.error(lines.number(), "'$' means the end of the name; " + quoted(pattern.substr(dollar + 1)) +
                                     " behind it can match nothing");
    } else if (pattern.find('\0') != std::string_view::npos) {
      sink.error(lines.number(), "a zero byte in " + quoted(pattern));
    } else {
      SuppressionRule rule;
      rule.name = "leak:" + std::string(pattern);
      rule.source = sink.at(lines.number());
      rule.anywhere = NamePattern::leak_template(pattern);
      sink.parsed.rules.push_back(std::move(rule));
    }
  }
}

} // namespace hl
