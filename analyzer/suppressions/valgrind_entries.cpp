// Valgrind's suppressions: entries in braces, of which those of Memcheck about leaks count.
//
//   {
//      a name
//      Memcheck:Leak
//      match-leak-kinds: definite,possible
//      fun:malloc                 function: mangled, as Valgrind wants it, or demangled
//      ...                        any number of frames
//      obj:*/libfoo.so.?          module
//      src:foo.c:12               file, with or without line
//   }
//
// Braces stand alone on their lines. `*` and `?` are wildcards. Entries of other tools and kinds are counted,
// and read only to find their end.
#include <charconv>

#include "suppressions/suppression_lines.h"

namespace hl {
namespace {

// Valgrind's own bound on what --num-callers may say.
constexpr size_t kMaxFrames = 500;

bool is_word_in(std::string_view word, std::string_view comma_separated) {
  while (!comma_separated.empty()) {
    const size_t comma = comma_separated.find(',');
    if (comma_separated.substr(0, comma) == word)
      return true;
    comma_separated.remove_prefix(comma == std::string_view::npos ? comma_separated.size() : comma + 1);
  }
  return false;
}

std::string_view without_blanks(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos)
    return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

// False and `unknown` set if a word is none of Valgrind's.
bool parse_classes(std::string_view text, LeakClasses& classes, std::string_view& unknown) {
  classes = LeakClasses();
  while (!text.empty()) {
    const size_t comma = text.find(',');
    const std::string_view word = without_blanks(text.substr(0, comma));
    text.remove_prefix(comma == std::string_view::npos ? text.size() : comma + 1);
    if (word == "definite")
      classes = classes.with(LeakClass::definite);
    else if (word == "indirect")
      classes = classes.with(LeakClass::indirect);
    else if (word == "possible")
      classes = classes.with(LeakClass::possible);
    else if (word == "reachable")
      classes = classes.with(LeakClass::reachable);
    else if (word == "all")
      classes = LeakClasses::all();
    else if (word != "none") {
      unknown = word;
      return false;
    }
  }
  return true;
}

// Valgrind shows the version that a symbol is exported with ("pthread_create@@GLIBC_2.34"); names here have
// none.
std::string_view without_version(std::string_view function) {
  const std::string_view name = function.substr(0, function.find('@'));
  const bool says_nothing = name.find_first_not_of("*?") == std::string_view::npos;
  return says_nothing || function.ends_with("@plt") ? function : name;
}

class EntryParser {
 public:
  EntryParser(std::string_view text, const SuppressionSink& sink) : lines_(text), sink_(sink) {}

  void parse_all() {
    std::string_view line;
    while (lines_.next(line)) {
      if (line != "{") {
        sink_.error(lines_.number(), "expected '{' alone on a line, not " + quoted(line));
        if (!skip_to_brace())
          return;
        continue;
      }
      begin_line_ = lines_.number();
      if (!parse_entry())
        return;
    }
  }

 private:
  // After an error outside of an entry: to the end of what was probably meant as one. False at the file's
  // end.
  bool skip_to_brace() {
    std::string_view line;
    while (lines_.next(line))
      if (line == "}")
        return true;
    return false;
  }

  // The next line of the entry; at its end or the file's false, with the error stated.
  bool inner_line(std::string_view& line, std::string_view wanted) {
    if (!lines_.next(line)) {
      sink_.error(begin_line_,
                  "the entry that begins here has no end; " + std::string(wanted) + " is missing");
      at_end_ = true;
      return false;
    }
    if (line == "}" || line == "{") {
      sink_.error(lines_.number(),
                  "unexpected '" + std::string(line) + "'; " + std::string(wanted) + " is missing");
      // A '{' here: the entry before it was not closed. It begins the next one, of which nothing is known
      // yet.
      if (line == "{")
        at_end_ = !skip_to_brace();
      return false;
    }
    return true;
  }

  bool fail(std::string_view what) {
    sink_.error(lines_.number(), what);
    return skip_to_brace();
  }

  // False at the end of the file.
  bool parse_entry() {
    std::string_view name, kind;
    if (!inner_line(name, "its name") || !inner_line(kind, "'Memcheck:Leak'"))
      return !at_end_;
    const size_t colon = kind.find(':');
    if (colon == std::string_view::npos || colon == 0)
      return fail("the second line of an entry is its kind, such as Memcheck:Leak, not " + quoted(kind));
    if (!is_word_in("Memcheck", kind.substr(0, colon)) || kind.substr(colon + 1) != "Leak") {
      ++sink_.parsed.skipped[std::string(kind)];
      if (skip_to_brace())
        return true;
      sink_.error(begin_line_, "the entry that begins here has no end");
      return false;
    }
    SuppressionRule rule;
    rule.name = name;
    rule.source = sink_.at(begin_line_);
    rule.begins_with_allocation = true;
    return parse_frames(rule);
  }

  bool parse_frames(SuppressionRule& rule) {
    bool has_named_frame = false;
    std::string_view line;
    for (bool first = true;; first = false) {
      if (!lines_.next(line)) {
        sink_.error(begin_line_, "the entry that begins here has no end");
        return false;
      }
      if (line == "}")
        break;
      constexpr std::string_view kClasses = "match-leak-kinds:";
      if (first && line.starts_with(kClasses)) {
        std::string_view unknown;
        if (!parse_classes(line.substr(kClasses.size()), rule.classes, unknown))
          return fail("there is no leak kind " + quoted(unknown) +
                      "; there are definite, indirect, possible, reachable, all and none");
        continue;
      }
      if (rule.frames.size() == kMaxFrames)
        return fail("more than 500 frames in one entry");
      FramePattern frame;
      std::string problem;
      if (!parse_location(line, frame, problem))
        return fail(problem);
      has_named_frame |= !frame.any_frames;
      rule.frames.push_back(std::move(frame));
    }
    if (!has_named_frame) {
      sink_.error(lines_.number(), rule.frames.empty() ? "an entry without frames"
                                                       : "an entry of nothing but '...' would match all");
      return true;
    }
    sink_.parsed.rules.push_back(std::move(rule));
    return true;
  }

  static bool parse_location(std::string_view line, FramePattern& frame, std::string& problem) {
    if (line == "...") {
      frame.any_frames = true;
      return true;
    }
    const std::string_view kind = line.substr(0, 4);
    std::string_view pattern = without_blanks(line.substr(kind.size()));
    if (kind != "fun:" && kind != "obj:" && kind != "src:") {
      problem = "a frame is '...', fun:FUNCTION, obj:MODULE or src:FILE, not " + quoted(line);
      return false;
    }
    if (pattern.empty()) {
      problem = quoted(line) + " names nothing";
      return false;
    }
    if (kind == "fun:") {
      // What Valgrind calls start-up code.
      if (pattern == "(below main)") {
        for (const std::string_view start :
             {"__libc_start_main*", "__libc_start_call_main", "generic_start_main*", "_start"})
          frame.functions.push_back(NamePattern::glob(start));
      } else {
        frame.functions.push_back(NamePattern::glob(without_version(pattern)));
      }
    } else if (kind == "obj:") {
      frame.modules.push_back(NamePattern::glob(pattern));
    } else {
      return parse_source(pattern, frame, problem);
    }
    return true;
  }

  // FILE or FILE:LINE. Valgrind compares with the file as the compiler was told it, without directory.
  static bool parse_source(std::string_view pattern, FramePattern& frame, std::string& problem) {
    const size_t colon = pattern.rfind(':');
    if (colon != std::string_view::npos) {
      const std::string_view number = pattern.substr(colon + 1);
      const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), frame.line);
      if (error != std::errc() || end != number.data() + number.size() || colon == 0) {
        problem = "a source location is FILE or FILE:LINE, not " + quoted(pattern);
        return false;
      }
      pattern = pattern.substr(0, colon);
    }
    frame.files.push_back(NamePattern::glob(pattern));
    frame.files.push_back(NamePattern::glob("*/" + std::string(pattern)));
    return true;
  }

  SuppressionLines lines_;
  const SuppressionSink& sink_;
  uint64_t begin_line_ = 0;
  bool at_end_ = false;
};

} // namespace

void parse_valgrind_entries(std::string_view text, const SuppressionSink& sink) {
  EntryParser(text, sink).parse_all();
}

} // namespace hl
