// See unified_diff.h. The longest common subsequence by the plain quadratic method: what differs between two
// budgets is short once common beginning and end are off.
#include "budget/unified_diff.h"

#include <algorithm>
#include <cstdint>
#include <vector>

namespace hl {
namespace {

constexpr size_t kContext = 3;
constexpr size_t kMaxTable = size_t{1} << 24; // cells; beyond, the differing middle is replaced as a whole

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    const size_t length = end == std::string_view::npos ? text.size() : end + 1;
    lines.push_back(text.substr(0, length)); // with its line break, if it has one
    text.remove_prefix(length);
  }
  return lines;
}

struct Step {
  char kind; // ' ', '-', '+'
  std::string_view line;
};

std::vector<Step> steps_between(const std::vector<std::string_view>& a,
                                const std::vector<std::string_view>& b) {
  size_t head = 0, tail = 0;
  while (head < std::min(a.size(), b.size()) && a[head] == b[head])
    ++head;
  while (tail < std::min(a.size(), b.size()) - head && a[a.size() - 1 - tail] == b[b.size() - 1 - tail])
    ++tail;
  const size_t rows = a.size() - head - tail, columns = b.size() - head - tail;
  std::vector<Step> steps;
  for (size_t i = 0; i < head; ++i)
    steps.push_back({' ', a[i]});
  size_t i = 0, j = 0;
  if (rows * columns <= kMaxTable && rows != 0 && columns != 0) {
    std::vector<uint32_t> common((rows + 1) * (columns + 1), 0);
    const auto cell = [&](size_t r, size_t c) -> uint32_t& { return common[r * (columns + 1) + c]; };
    for (size_t r = rows; r-- > 0;)
      for (size_t c = columns; c-- > 0;)
        cell(r, c) =
            a[head + r] == b[head + c] ? cell(r + 1, c + 1) + 1 : std::max(cell(r + 1, c), cell(r, c + 1));
    while (i < rows && j < columns) {
      if (a[head + i] == b[head + j]) {
        steps.push_back({' ', a[head + i]});
        ++i;
        ++j;
      } else if (cell(i + 1, j) >= cell(i, j + 1)) {
        steps.push_back({'-', a[head + i++]});
      } else {
        steps.push_back({'+', b[head + j++]});
      }
    }
  }
  for (; i < rows; ++i)
    steps.push_back({'-', a[head + i]});
  for (; j < columns; ++j)
    steps.push_back({'+', b[head + j]});
  for (size_t k = a.size() - tail; k < a.size(); ++k)
    steps.push_back({' ', a[k]});
  return steps;
}

std::string hunk_range(size_t begin, size_t count) {
  return std::to_string(count == 0 ? begin : begin + 1) + "," + std::to_string(count);
}

} // namespace

std::string unified_diff(const std::string& path, const std::string* old_text, const std::string& new_text) {
  const std::string before = old_text == nullptr ? "" : *old_text;
  if (old_text != nullptr && before == new_text)
    return {};
  const std::vector<std::string_view> old_lines = lines_of(before), new_lines = lines_of(new_text);
  const std::vector<Step> steps = steps_between(old_lines, new_lines);
  std::string out = (old_text == nullptr ? std::string("--- /dev/null\n") : "--- a/" + path + "\n") +
                    "+++ b/" + path + "\n";
  size_t old_line = 0, new_line = 0;
  for (size_t at = 0; at < steps.size();) {
    size_t change = at;
    while (change < steps.size() && steps[change].kind == ' ')
      ++change;
    if (change == steps.size())
      break;
    const size_t begin = std::max(at, change < kContext ? 0 : change - kContext);
    old_line += begin - at;
    new_line += begin - at;
    // To the last change that is within twice the context of the one before.
    size_t end = change;
    for (size_t i = change; i < steps.size() && i <= end + 2 * kContext; ++i)
      if (steps[i].kind != ' ')
        end = i;
    end = std::min(end + 1 + kContext, steps.size());
    std::string body;
    size_t removed = 0, added = 0;
    for (size_t i = begin; i < end; ++i) {
      removed += steps[i].kind != '+' ? 1 : 0;
      added += steps[i].kind != '-' ? 1 : 0;
      body += steps[i].kind;
      body += steps[i].line;
      if (!steps[i].line.ends_with('\n'))
        body += "\n\\ No newline at end of file\n";
    }
    out += "@@ -" + hunk_range(old_line, removed) + " +" + hunk_range(new_line, added) + " @@\n" + body;
    old_line += removed;
    new_line += added;
    at = end;
  }
  return out;
}

} // namespace hl
