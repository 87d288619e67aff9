// See json_places.h.
#include "budget/json_places.h"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace hl {
namespace {
constexpr int kMaxDepth = 100;
}

JsonPlaces::JsonPlaces(std::string_view text) : text_(text) {
  std::string pointer;
  value(pointer, 0);
}

const JsonRange* JsonPlaces::find(const std::string& pointer) const {
  const auto found = ranges_.find(pointer);
  return found == ranges_.end() ? nullptr : &found->second;
}

void JsonPlaces::blanks() {
  while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos)
    ++at_;
}

// A quoted text as what it says.
std::string JsonPlaces::text_value() {
  const size_t begin = at_++;
  while (at_ < text_.size() && text_[at_] != '"')
    at_ += text_[at_] == '\\' ? 2 : 1;
  at_ = std::min(at_ + 1, text_.size());
  const auto parsed = nlohmann::json::parse(text_.substr(begin, at_ - begin), nullptr, false);
  return parsed.is_string() ? parsed.get<std::string>() : std::string();
}

void JsonPlaces::value(std::string& pointer, int depth) {
  if (depth > kMaxDepth) {
    wrong_ = "nested too deeply";
    return;
  }
  blanks();
  const size_t begin = at_, length = pointer.size();
  const char first = at_ < text_.size() ? text_[at_] : '\0';
  if (first == '{' || first == '[') {
    ++at_;
    for (size_t index = 0; wrong_.empty(); ++index) {
      blanks();
      if (at_ >= text_.size() || text_[at_] == '}' || text_[at_] == ']')
        break;
      if (first == '{') {
        const size_t key_at = at_;
        const std::string key = text_value();
        pointer += "/" + pointer_part(key);
        if (ranges_.count(pointer) != 0) {
          wrong_ = line_and_column(text_, key_at) + ": the key \"" + key + "\" is given twice";
          return;
        }
        blanks();
        ++at_; // the colon
      } else {
        pointer += "/" + std::to_string(index);
      }
      value(pointer, depth + 1);
      pointer.resize(length);
      blanks();
      if (at_ < text_.size() && text_[at_] == ',')
        ++at_;
    }
    at_ = std::min(at_ + 1, text_.size());
  } else if (first == '"') {
    text_value();
  } else {
    at_ = std::min(text_.find_first_of(" \t\r\n,]}", at_), text_.size());
  }
  ranges_[pointer] = {begin, at_};
}

std::string line_and_column(std::string_view text, size_t offset) {
  const std::string_view before = text.substr(0, std::min(offset, text.size()));
  const auto line = std::count(before.begin(), before.end(), '\n') + 1;
  const size_t start = before.rfind('\n') + 1; // npos + 1 is 0
  return "line " + std::to_string(line) + ", column " + std::to_string(before.size() - start + 1);
}

std::string pointer_part(std::string_view key) {
  std::string part;
  for (const char c : key)
    part += c == '~' ? std::string("~0") : c == '/' ? std::string("~1") : std::string(1, c);
  return part;
}

} // namespace hl
