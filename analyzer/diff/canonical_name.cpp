// See canonical_name.h. One pass over the name; brackets are skipped as wholes.
#include "diff/canonical_name.h"

#include <algorithm>
#include <array>

namespace hl {
namespace {

bool is_identifier(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// Index behind the bracket that closes the one at `at`, or the end. "->" closes nothing.
size_t behind_bracket(std::string_view text, size_t at) {
  int depth = 0;
  for (; at < text.size(); ++at) {
    const char c = text[at];
    if (c == '<' || c == '(' || c == '{' || c == '[')
      ++depth;
    else if (c == ')' || c == '}' || c == ']' || (c == '>' && !(at > 0 && text[at - 1] == '-')))
      --depth;
    if (depth <= 0)
      return at + 1;
  }
  return at;
}

// Digits alone differ: "4ul" of gcc is "4" of clang; blanks do not matter.
void add_details(std::string& details, std::string_view bracketed) {
  for (size_t i = 0; i < bracketed.size(); ++i) {
    const char c = bracketed[i];
    if (c == ' ')
      continue;
    if ((c == 'u' || c == 'l') && i > 0 && is_digit(bracketed[i - 1])) {
      size_t end = i;
      while (end < bracketed.size() && (bracketed[end] == 'u' || bracketed[end] == 'l'))
        ++end;
      if (end == bracketed.size() || !is_identifier(bracketed[end])) {
        i = end - 1;
        continue;
      }
    }
    details += c;
  }
}

class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  CanonicalName run() {
    while (at_ < text_.size() && step()) {
    }
    while (result_.name.ends_with("::"))
      result_.name.resize(result_.name.size() - 2);
    return std::move(result_);
  }

 private:
  std::string_view rest() const { return text_.substr(at_); }
  bool starts(std::string_view what) const { return rest().starts_with(what); }
  bool at_component() const { return result_.name.empty() || result_.name.ends_with("::"); }

  // false: the name ends here.
  bool step() {
    const char c = text_[at_];
    if (at_component()) {
      for (const std::string_view anonymous :
           {"(anonymous namespace)", "{anonymous}", "`anonymous namespace'", "<unnamed>", "_GLOBAL__N_1",
            "(anonymous)"})
        if (starts(anonymous) && rest().substr(anonymous.size()).starts_with("::")) {
          at_ += anonymous.size() + 2;
          return true;
        }
      if (starts("operator") && (at_ + 8 == text_.size() || !is_identifier(text_[at_ + 8])))
        return operator_name();
      if (c == '{' || c == '\'' || c == '$')
        return unnamed();
      if (c == '<')
        return bracketed_component();
      if (starts("_FUN") || starts("__invoke"))
        return invoker();
    }
    switch (c) {
    case '<': {
      const size_t end = behind_bracket(text_, at_);
      add_details(result_.details, text_.substr(at_, end - at_));
      at_ = end;
      return true;
    }
    case '(':
      return parameters();
    case '[': // [abi:cxx11]
      at_ = behind_bracket(text_, at_);
      return true;
    case ' ': // what stood before was a return type, "static", "virtual thunk to"
      result_ = {};
      ++at_;
      return true;
    default:
      result_.name += c;
      ++at_;
      return true;
    }
  }

  bool parameters() {
    const size_t end = behind_bracket(text_, at_);
    add_details(result_.details, text_.substr(at_, end - at_));
    at_ = end;
    // Qualifiers, then perhaps an entity inside the function.
    while (at_ < text_.size()) {
      if (text_[at_] == ' ' && at_ + 1 < text_.size() &&
          (text_[at_ + 1] == '&' || starts(" const") || starts(" volatile") || starts(" noexcept"))) {
        ++at_;
        while (at_ < text_.size() && (is_identifier(text_[at_]) || text_[at_] == '&'))
          ++at_;
      } else if (text_[at_] == '&') {
        ++at_;
      } else if (text_[at_] == '[') {
        at_ = behind_bracket(text_, at_);
      } else {
        break;
      }
    }
    if (starts("::") || starts(" ")) // a blank: "decltype (x) f()"
      return true;
    return at_ < text_.size() && text_[at_] == '(' && result_.name.empty();
  }

  bool operator_name() {
    size_t end = at_ + 8;
    if (text_.substr(end, 2) == "()" || text_.substr(end, 2) == "[]") {
      end += 2;
    } else if (end < text_.size() && text_[end] == ' ') {
      // A conversion: its type up to the parameters; or new, delete, new[].
      while (end < text_.size() && text_[end] != '(')
        end = text_[end] == '<' ? behind_bracket(text_, end) : end + 1;
    } else {
      while (end < text_.size() &&
             std::string_view("<>=-+*/%^&|~!,").find(text_[end]) != std::string_view::npos)
        ++end;
    }
    result_.name += text_.substr(at_, end - at_);
    while (result_.name.ends_with(' '))
      result_.name.pop_back();
    // "operator< <int>": a blank before template arguments.
    at_ = text_.substr(end).starts_with(" <") ? end + 1 : end;
    return true;
  }

  // {lambda(int)#1}, {unnamed type#2}; 'lambda0'(int), 'unnamed'; $_3.
  bool unnamed() {
    const char c = text_[at_];
    size_t end = at_ + 1;
    bool lambda = false;
    if (c == '{') {
      end = behind_bracket(text_, at_);
      const std::string_view inside = text_.substr(at_, end - at_);
      lambda = inside.starts_with("{lambda");
      if (!lambda && !inside.starts_with("{unnamed")) {
        result_.name += inside.substr(0, inside.find('#'));
        if (inside.find('#') != std::string_view::npos)
          result_.name += '}';
        at_ = end;
        return true;
      }
    } else if (c == '\'') {
      const size_t close = text_.find('\'', end);
      if (close == std::string_view::npos)
        return plain();
      lambda = text_.substr(end).starts_with("lambda");
      end = close + 1;
    } else {
      if (!starts("$_"))
        return plain();
      end = at_ + 2;
      while (end < text_.size() && is_digit(text_[end]))
        ++end;
      const std::string_view then = text_.substr(end);
      lambda = then.starts_with("::operator()") || then.starts_with("::__invoke");
    }
    result_.name += lambda ? "{lambda}" : "{unnamed}";
    at_ = end;
    return true;
  }
  bool plain() {
    result_.name += text_[at_++];
    return true;
  }

  // gcc's name of a closure in debug information: "<lambda(int)>"; Rust's "<Type<T> as Trait>::function".
  bool bracketed_component() {
    const size_t end = behind_bracket(text_, at_);
    const std::string_view inside = text_.substr(at_, end - at_);
    if (inside.starts_with("<lambda")) {
      result_.name += "{lambda}";
    } else {
      result_.name += '<';
      for (size_t i = 1; i + 1 < inside.size();) {
        if (inside[i] == '<') {
          const size_t close = behind_bracket(inside, i);
          add_details(result_.details, inside.substr(i, close - i));
          i = std::min(close, inside.size() - 1);
        } else {
          result_.name += inside[i++];
        }
      }
      result_.name += '>';
    }
    at_ = end;
    return true;
  }

  // The function that a lambda converts to.
  bool invoker() {
    const size_t length = starts("_FUN") ? 4 : 8;
    const bool whole = at_ + length == text_.size() || !is_identifier(text_[at_ + length]);
    if (whole && result_.name.ends_with("{lambda}::")) {
      result_.name += "__invoke";
      at_ += length;
      return true;
    }
    return plain();
  }

  std::string_view text_;
  size_t at_ = 0;
  CanonicalName result_;
};

} // namespace

std::string_view without_clone_suffix(std::string_view name) {
  static constexpr std::array<std::string_view, 13> kSuffixes = {
      "constprop", "isra",        "part",     "cold",    "lto_priv", "llvm", "localalias",
      "__uniq",    "specialized", "unlikely", "startup", "warm",     "hot"};
  for (bool found = true; found;) {
    found = false;
    if (const size_t at = name.rfind(" [clone "); at != std::string_view::npos && name.ends_with(']')) {
      name = name.substr(0, at);
      found = true;
    } else if (name.ends_with(')')) {
      // clang: "f(int) (.cold)", "f() (.llvm.123)"
      if (const size_t open = name.rfind(" (."); open != std::string_view::npos) {
        name = name.substr(0, open);
        found = true;
      }
    } else if (const size_t dot = name.rfind('.'); dot != std::string_view::npos && dot != 0) {
      const std::string_view word = name.substr(dot + 1);
      // A number belongs to the word before it; a shared library's version in "lib.so.1+0x12" is none.
      const bool number = !word.empty() && std::all_of(word.begin(), word.end(), is_digit);
      const size_t before = number ? name.rfind('.', dot - 1) : std::string_view::npos;
      const std::string_view named = number ? (before == std::string_view::npos || before == 0
                                                   ? std::string_view()
                                                   : name.substr(before + 1, dot - before - 1))
                                            : word;
      if (std::find(kSuffixes.begin(), kSuffixes.end(), named) != kSuffixes.end()) {
        name = name.substr(0, number ? before : dot);
        found = true;
      }
    }
    if (const size_t at = name.rfind('@');
        at != std::string_view::npos && at != 0 && name.find_first_of(" (<", at) == std::string_view::npos) {
      name = name.substr(0, name[at - 1] == '@' ? at - 1 : at);
      found = true;
    }
  }
  return name;
}

bool is_nameless(std::string_view function) {
  const size_t at = function.rfind("+0x");
  const std::string_view digits = at == std::string_view::npos
                                      ? (function.starts_with("0x") ? function.substr(2) : std::string_view())
                                      : function.substr(at + 3);
  return !digits.empty() && digits.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

CanonicalName canonical_name(std::string_view function) {
  if (is_nameless(function))
    return {std::string(function), {}};
  const std::string_view name = without_clone_suffix(function);
  CanonicalName result = Reader(name).run();
  if (result.name.empty())
    return {std::string(function), {}};
  return result;
}

std::string_view last_component(std::string_view canonical) {
  size_t at = canonical.rfind("::");
  // A lambda's operator() says nothing without its lambda.
  if (at != std::string_view::npos && canonical.substr(0, at).ends_with("{lambda}")) {
    const std::string_view lambda = canonical.substr(0, at - 8);
    return canonical.substr(lambda.size());
  }
  // "operator std::string"
  if (const size_t conversion = canonical.find("operator "); conversion != std::string_view::npos)
    return canonical.substr(conversion);
  return at == std::string_view::npos ? canonical : canonical.substr(at + 2);
}

std::string canonical_module(std::string_view path) {
  if (path.ends_with(" (deleted)"))
    path.remove_suffix(10);
  std::string_view name = path.substr(path.rfind('/') == std::string_view::npos ? 0 : path.rfind('/') + 1);
  if (const size_t so = name.find(".so"); so != std::string_view::npos && so != 0)
    name = name.substr(0, so);
  // "-2.4", "3.11", "-14", "_1.2.3"; but not the 3 of sqlite3.
  size_t end = name.size();
  while (end > 0 && (is_digit(name[end - 1]) || name[end - 1] == '.'))
    --end;
  const bool versioned =
      end < name.size() && end > 0 && (name.find('.', end) != std::string_view::npos || name[end - 1] == '-');
  if (versioned) {
    while (end > 1 && (name[end - 1] == '-' || name[end - 1] == '_' || name[end - 1] == '.'))
      --end;
    name = name.substr(0, end);
  }
  return std::string(name);
}

} // namespace hl
