// What both dialects' parsers share: lines with their numbers, and errors that say where.
#pragma once

#include <string>
#include <string_view>

#include "suppressions/suppression_parser.h"

namespace hl {

// Lines of a text without blanks at either end; comments (`#`) and empty lines are passed over.
class SuppressionLines {
 public:
  explicit SuppressionLines(std::string_view text) : rest_(text) {}
  // False at the end.
  bool next(std::string_view& line);
  uint64_t number() const { return number_; } // of the line that next() gave last, from 1

 private:
  std::string_view rest_;
  uint64_t number_ = 0;
};

// Collects what a parser finds.
struct SuppressionSink {
  std::string_view source;
  ParsedSuppressions& parsed;

  void error(uint64_t line, std::string_view what) const;
  std::string at(uint64_t line) const; // "FILE:LINE"
};

// Offending text for a message: short and free of control characters.
std::string quoted(std::string_view text);

void parse_leak_templates(std::string_view text, const SuppressionSink& sink);
void parse_valgrind_entries(std::string_view text, const SuppressionSink& sink);

} // namespace hl
