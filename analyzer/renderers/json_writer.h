// Writes one JSON document piece by piece: a report may hold a million frames, which no tree in memory
// should. Texts from a trace may hold any bytes; what is not UTF-8 becomes U+FFFD, so the output always is
// valid JSON.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

namespace hl {

class JsonWriter {
 public:
  explicit JsonWriter(std::FILE* out) : out_(out) {}
  ~JsonWriter() { flush(); }
  JsonWriter(const JsonWriter&) = delete;
  JsonWriter& operator=(const JsonWriter&) = delete;

  JsonWriter& begin_object() { return open('{'); }
  JsonWriter& end_object() { return close('}'); }
  JsonWriter& begin_array() { return open('['); }
  JsonWriter& end_array() { return close(']'); }
  JsonWriter& key(std::string_view name);

  JsonWriter& value(std::string_view text);
  JsonWriter& value(const char* text) { return value(std::string_view(text)); }
  JsonWriter& value(uint64_t number);
  JsonWriter& value(uint32_t number) { return value(uint64_t{number}); }
  JsonWriter& value(int64_t number);
  JsonWriter& value(int number) { return value(int64_t{number}); }
  JsonWriter& value(double number);
  JsonWriter& value(bool flag);
  JsonWriter& null();

  // key and value at once
  template <typename T> JsonWriter& member(std::string_view name, const T& v) {
    key(name);
    return value(v);
  }
  void flush();

 private:
  JsonWriter& open(char bracket);
  JsonWriter& close(char bracket);
  void separate();
  void append_quoted(std::string_view text);

  std::FILE* out_;
  std::string buffer_;
  bool needs_comma_ = false;
};

// One document on stdout, as verbs print it: what write(arguments..., writer) writes, and a line break.
template <typename Function, typename... Arguments>
void print_json(const Function& write, const Arguments&... arguments) {
  JsonWriter out(stdout);
  write(arguments..., out);
  out.flush();
  std::fputc('\n', stdout);
}

} // namespace hl
