// See suppression_parser.h; the dialects are in leak_templates.cpp and valgrind_entries.cpp.
#include "suppressions/suppression_parser.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "suppressions/suppression_lines.h"

namespace hl {
namespace {

// Far more than anybody writes by hand; a mistaken core dump is refused instead of read.
constexpr size_t kMaxFileBytes = 64 << 20;
constexpr size_t kMaxQuotedBytes = 60;

} // namespace

bool SuppressionLines::next(std::string_view& line) {
  while (!rest_.empty()) {
    const size_t end = rest_.find('\n');
    line = rest_.substr(0, end);
    rest_.remove_prefix(end == std::string_view::npos ? rest_.size() : end + 1);
    ++number_;
    constexpr std::string_view kBlanks = " \t\r\v\f";
    const size_t first = line.find_first_not_of(kBlanks);
    if (first == std::string_view::npos || line[first] == '#')
      continue;
    line = line.substr(first, line.find_last_not_of(kBlanks) - first + 1);
    return true;
  }
  return false;
}

std::string SuppressionSink::at(uint64_t line) const {
  return std::string(source) + ":" + std::to_string(line);
}

void SuppressionSink::error(uint64_t line, std::string_view what) const {
  if (parsed.errors.size() < ParsedSuppressions::kMaxErrors)
    parsed.errors.push_back(at(line) + ": " + std::string(what));
}

std::string quoted(std::string_view text) {
  std::string result = "'";
  for (const char c : text.substr(0, kMaxQuotedBytes))
    result += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
  return result + (text.size() > kMaxQuotedBytes ? "...'" : "'");
}

ParsedSuppressions parse_suppressions(std::string_view text, std::string_view source) {
  ParsedSuppressions parsed;
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  if (text.starts_with(kByteOrderMark))
    text.remove_prefix(kByteOrderMark.size());
  const SuppressionSink sink{source, parsed};
  SuppressionLines lines(text);
  std::string_view first;
  if (!lines.next(first))
    return parsed;
  if (first.starts_with('{'))
    parse_valgrind_entries(text, sink);
  else
    parse_leak_templates(text, sink);
  return parsed;
}

ParsedSuppressions read_suppression_file(const std::string& path) {
  ParsedSuppressions failed;
  const auto fail = [&](const std::string& why) {
    failed.errors.push_back("suppression file " + path + ": " + why);
    return failed;
  };
  errno = 0;
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "re"), &std::fclose);
  if (file == nullptr)
    return fail(std::strerror(errno));
  std::string text;
  char buffer[1 << 16];
  for (size_t got; (got = std::fread(buffer, 1, sizeof buffer, file.get())) != 0;) {
    text.append(buffer, got);
    if (text.size() > kMaxFileBytes)
      return fail("larger than 64 MiB");
  }
  if (std::ferror(file.get()) != 0)
    return fail(std::strerror(errno));
  return parse_suppressions(text, path);
}

} // namespace hl
