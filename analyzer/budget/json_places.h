// Where in a JSON text each value stands, so that errors name line and column and a number can be replaced
// without touching anything else a person wrote.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>

namespace hl {

struct JsonRange {
  size_t begin = 0, end = 0; // bytes
};

class JsonPlaces {
 public:
  // Of a text that is valid JSON (another library says so). A key that is given twice in an object, or
  // nesting beyond 100: wrong() says it.
  explicit JsonPlaces(std::string_view text);

  // By JSON pointer (RFC 6901): "/metrics/peak_bytes/max"; "" is the whole. nullptr: there is none.
  const JsonRange* find(const std::string& pointer) const;
  const std::string& wrong() const { return wrong_; }

 private:
  void value(std::string& pointer, int depth);
  void blanks();
  std::string text_value();

  std::string_view text_;
  size_t at_ = 0;
  std::map<std::string, JsonRange> ranges_;
  std::string wrong_;
};

// "line 3, column 14", from 1; columns are bytes.
std::string line_and_column(std::string_view text, size_t offset);
// A key as a part of a JSON pointer.
std::string pointer_part(std::string_view key);

} // namespace hl
