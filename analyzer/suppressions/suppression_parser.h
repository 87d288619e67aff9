// Suppression files -> rules. The dialect is told from the content: a file whose first word is `{` is
// Valgrind's, every other one has a rule a line (LeakSanitizer, heaptrack, __lsan_default_suppressions).
//
// A rule that cannot be read is an error with its line and what is wrong with it: a suppression that silently
// does nothing costs its owner a day. A rule for something else than leaks (a data race, an invalid read) is
// left out and counted, since such files are shared between tools. The text is untrusted.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "suppressions/suppression_rule.h"

namespace hl {

struct ParsedSuppressions {
  std::vector<SuppressionRule> rules;
  std::vector<std::string> errors;         // "FILE:LINE: what is wrong", at most kMaxErrors
  std::map<std::string, uint64_t> skipped; // entries that are not about leaks, by their kind

  static constexpr size_t kMaxErrors = 20;
};

// `source` is what errors and rules name the text by.
ParsedSuppressions parse_suppressions(std::string_view text, std::string_view source);

// The same of a file. One that cannot be read is an error as well.
ParsedSuppressions read_suppression_file(const std::string& path);

} // namespace hl
