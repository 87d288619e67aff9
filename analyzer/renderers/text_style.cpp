// See text_style.h.
#include "renderers/text_style.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ctime>

namespace hl {
namespace {

template <typename... Args> std::string print(const char* format, Args... args) {
  char buffer[96];
  const int length = std::snprintf(buffer, sizeof buffer, format, args...);
  return {buffer, static_cast<size_t>(std::clamp<int>(length, 0, sizeof buffer - 1))};
}

// Three significant digits, so that columns of numbers can be compared at a glance.
std::string three_digits(double value) {
  if (value < 9.995)
    return print("%.2f", value);
  if (value < 99.95)
    return print("%.1f", value);
  return print("%.0f", value);
}

bool is_identifier(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '$';
}

// Length of the UTF-8 sequence at `at`, 0 if it is none.
size_t sequence_length(std::string_view text, size_t at) {
  const auto byte = static_cast<uint8_t>(text[at]);
  const size_t length = byte < 0x80                   ? 1
                        : byte >= 0xc2 && byte < 0xe0 ? 2
                        : byte >= 0xe0 && byte < 0xf0 ? 3
                        : byte >= 0xf0 && byte < 0xf5 ? 4
                                                      : 0;
  if (length == 0 || at + length > text.size())
    return 0;
  for (size_t i = 1; i < length; ++i)
    if ((static_cast<uint8_t>(text[at + i]) & 0xc0) != 0x80)
      return 0;
  return length;
}

} // namespace

std::string with_thousands(uint64_t value) {
  std::string digits = std::to_string(value);
  for (size_t at = digits.size(); at > 3;) {
    at -= 3;
    digits.insert(at, 1, ',');
  }
  return digits;
}

std::string human_bytes(uint64_t bytes, const TextStyle& style) {
  if (style.exact || bytes < 1024)
    return with_thousands(bytes) + " B";
  static constexpr const char* kUnits[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double value = static_cast<double>(bytes) / 1024;
  size_t unit = 0;
  while (value >= 1023.5 && unit + 1 < std::size(kUnits)) {
    value /= 1024;
    ++unit;
  }
  return three_digits(value) + " " + kUnits[unit];
}

std::string human_ns(uint64_t ns) {
  if (ns < 1000)
    return print("%u ns", static_cast<unsigned>(ns));
  const double seconds = static_cast<double>(ns) / 1e9;
  if (ns < 999'500)
    return three_digits(seconds * 1e6) + " us";
  if (ns < 999'500'000)
    return three_digits(seconds * 1e3) + " ms";
  if (seconds < 99.95)
    return three_digits(seconds) + " s";
  const uint64_t whole = static_cast<uint64_t>(std::llround(seconds));
  if (whole < 3600)
    return print("%u min %02u s", static_cast<unsigned>(whole / 60), static_cast<unsigned>(whole % 60));
  if (whole < 48 * 3600)
    return print("%u h %02u min", static_cast<unsigned>(whole / 3600),
                 static_cast<unsigned>(whole / 60 % 60));
  return print("%llu d %02u h", static_cast<unsigned long long>(whole / 86400),
               static_cast<unsigned>(whole / 3600 % 24));
}

std::string human_percent(uint64_t part, uint64_t whole) {
  if (whole == 0)
    return "-";
  const double percent = 100 * static_cast<double>(part) / static_cast<double>(whole);
  if (part != 0 && percent < 0.05)
    return "<0.1 %";
  return print(percent < 99.95 ? "%.1f %%" : "%.0f %%", percent);
}

std::string plural(uint64_t count, std::string_view noun) {
  return with_thousands(count) + " " + std::string(noun) + (count == 1 ? "" : "s");
}

std::string clock_time(uint64_t wall_ns) {
  const std::time_t seconds = static_cast<std::time_t>(wall_ns / 1'000'000'000);
  std::tm local{};
  if (::localtime_r(&seconds, &local) == nullptr)
    return "?";
  char buffer[64];
  const size_t length = std::strftime(buffer, sizeof buffer, "%Y-%m-%d %H:%M:%S", &local);
  return {buffer, length};
}

size_t display_width(std::string_view text) {
  size_t width = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\x1b') {
      while (i < text.size() && text[i] != 'm')
        ++i;
      continue;
    }
    if ((static_cast<uint8_t>(text[i]) & 0xc0) != 0x80)
      ++width;
  }
  return width;
}

std::string pad_left(const std::string& text, size_t width) {
  const size_t now = display_width(text);
  return now >= width ? text : std::string(width - now, ' ') + text;
}

std::string pad_right(std::string text, size_t width) {
  const size_t now = display_width(text);
  if (now < width)
    text.append(width - now, ' ');
  return text;
}

std::string fit(std::string_view text, size_t width, const TextStyle& style) {
  if (display_width(text) <= width)
    return std::string(text);
  const std::string_view dots = style.unicode ? "…" : "...";
  const size_t dots_width = style.unicode ? 1 : 3;
  if (width <= dots_width)
    return std::string(dots);
  // Two thirds in front: names differ at their beginning more often than at their end.
  const size_t keep = width - dots_width, front = keep - keep / 3;
  std::string result;
  size_t at = 0;
  for (size_t column = 0; column < front && at < text.size(); ++column) {
    const size_t length = std::max<size_t>(1, sequence_length(text, at));
    result += text.substr(at, length);
    at += length;
  }
  result += dots;
  size_t from = text.size();
  for (size_t column = 0; column < keep - front && from > at; ++column) {
    --from;
    while (from > at && (static_cast<uint8_t>(text[from]) & 0xc0) == 0x80)
      --from;
  }
  return result += text.substr(from);
}

std::string wrapped(std::string_view text, std::string_view first_margin, std::string_view margin,
                    const TextStyle& style) {
  std::string out, line(first_margin);
  size_t used = display_width(line);
  bool empty = true;
  while (!text.empty()) {
    const size_t blank = std::min(text.find(' '), text.size());
    const std::string word =
        fit(text.substr(0, blank), style.width > margin.size() ? style.width - margin.size() : 1, style);
    text.remove_prefix(std::min(text.size(), blank + 1));
    const size_t width = display_width(word);
    if (!empty && used + 1 + width > style.width) {
      out += line + "\n";
      line = margin;
      used = display_width(line);
      empty = true;
    }
    if (!empty)
      line += ' ';
    line += word;
    used += width + (empty ? 0 : 1);
    empty = false;
  }
  return out + line + "\n";
}

std::string short_function(std::string_view name) {
  // Parameters: from the first '(' outside <> that follows a name (not `(anonymous namespace)`, not
  // operator()).
  std::string result;
  int angle = 0;
  size_t template_start = 0;
  constexpr size_t kTemplateRoom = 24;
  for (size_t i = 0; i < name.size(); ++i) {
    const char c = name[i];
    if (angle == 0 && name.substr(i, 8) == "operator" && (i == 0 || !is_identifier(name[i - 1])) &&
        (i + 8 == name.size() || !is_identifier(name[i + 8]))) {
      // operator<, operator(), operator->: the signs belong to the name.
      size_t end = i + 8;
      if (name.substr(end, 2) == "()" || name.substr(end, 2) == "[]")
        end += 2;
      else
        while (end < name.size() &&
               std::string_view("<>=-+*/%^&|~!,").find(name[end]) != std::string_view::npos)
          ++end;
      result += name.substr(i, end - i);
      i = end - 1;
      continue;
    }
    if (angle == 0 && c == '{') {
      // {lambda(int)#1}: parentheses inside belong to the name.
      const size_t end = std::min(name.find('}', i), name.size() - 1);
      result += name.substr(i, end + 1 - i);
      i = end;
      continue;
    }
    if (c == '<') {
      if (angle++ == 0)
        template_start = result.size();
      result += c;
      continue;
    }
    if (c == '>' && angle > 0) {
      result += c;
      if (--angle == 0 && result.size() - template_start > kTemplateRoom) {
        result.resize(template_start);
        result += "<...>";
      }
      continue;
    }
    if (angle == 0 && c == '(') {
      if (name.substr(i, 21) == "(anonymous namespace)") {
        result += "(anon)";
        i += 20;
        continue;
      }
      // Skip to the partner; what follows may be " const", "::{lambda()#1}::operator()".
      int depth = 0;
      size_t end = i;
      for (; end < name.size(); ++end) {
        if (name[end] == '(')
          ++depth;
        if (name[end] == ')' && --depth == 0)
          break;
      }
      if (end + 1 < name.size() && name.substr(end + 1, 2) == "::") {
        i = end;
        continue;
      }
      break;
    }
    result += c;
  }
  // A return type stands before the last blank outside brackets ("void foo<int>"), in front of an operator's
  // name.
  int depth = 0;
  for (size_t i = std::min(result.find("operator"), result.size()); i > 0; --i) {
    const char c = result[i - 1];
    if (c == '>' || c == ')' || c == '}' || c == ']')
      ++depth;
    if (c == '<' || c == '(' || c == '{' || c == '[')
      --depth;
    if (c == ' ' && depth == 0) {
      result.erase(0, i);
      break;
    }
  }
  return result.empty() ? std::string(name) : result;
}

std::string short_path(std::string_view path) {
  const size_t last = path.rfind('/');
  if (last == std::string_view::npos || last == 0)
    return std::string(path);
  const size_t before = path.rfind('/', last - 1);
  return std::string(before == std::string_view::npos ? path : path.substr(before + 1));
}

std::string sparkline(const uint64_t* values, size_t count, uint64_t maximum, const TextStyle& style) {
  static constexpr const char* kBars[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  static constexpr const char* kPlain[] = {" ", "_", ".", "-", "=", "+", "*", "%", "#"};
  std::string line;
  for (size_t i = 0; i < count; ++i) {
    const double height = maximum == 0 ? 0 : static_cast<double>(values[i]) / static_cast<double>(maximum);
    const size_t step =
        values[i] == 0 ? 0 : std::clamp<size_t>(static_cast<size_t>(std::lround(height * 8)), 1, 8);
    line += style.unicode ? kBars[step] : kPlain[step];
  }
  return line;
}

std::string printable(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const size_t length = sequence_length(text, i);
    const auto byte = static_cast<uint8_t>(text[i]);
    if (length == 0 || byte < 0x20 || byte == 0x7f ||
        (byte == 0xc2 && static_cast<uint8_t>(text[i + 1]) < 0xa0)) {
      result += '?';
      ++i;
      continue;
    }
    result += text.substr(i, length);
    i += length;
  }
  return result;
}

} // namespace hl
