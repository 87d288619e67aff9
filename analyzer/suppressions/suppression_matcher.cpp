// See suppression_matcher.h.
//
// Words used here: a *pattern* is one NamePattern for one kind of text; a *test* is one FramePattern compiled
// to pattern numbers; a rule's *key* is the test of it that fewest frames will satisfy.
#include "suppressions/suppression_matcher.h"

#include <algorithm>
#include <array>
#include <deque>
#include <string>
#include <tuple>
#include <unordered_map>

namespace hl {
namespace {

enum Kind : uint8_t { kFunction, kModule, kFile };
constexpr size_t kKinds = 3;

using Numbers = std::vector<uint32_t>; // sorted, each once

bool has(const Numbers& numbers, uint32_t wanted) {
  return std::binary_search(numbers.begin(), numbers.end(), wanted);
}

bool has_any(const Numbers& numbers, const Numbers& wanted) {
  return std::any_of(wanted.begin(), wanted.end(), [&](uint32_t w) { return has(numbers, w); });
}

void sort_unique(Numbers& numbers) {
  std::sort(numbers.begin(), numbers.end());
  numbers.erase(std::unique(numbers.begin(), numbers.end()), numbers.end());
}

// What stands at the inner end of a stack in Valgrind, and is not a frame of a recorded one: it begins with
// the caller of the allocation function, whichever that was.
constexpr std::string_view kAllocationFunctions[] = {"malloc",
                                                     "calloc",
                                                     "realloc",
                                                     "reallocarray",
                                                     "memalign",
                                                     "posix_memalign",
                                                     "aligned_alloc",
                                                     "valloc",
                                                     "pvalloc",
                                                     "_Znwm",
                                                     "_Znam",
                                                     "_ZnwmRKSt9nothrow_t",
                                                     "_ZnamRKSt9nothrow_t",
                                                     "_ZnwmSt11align_val_t",
                                                     "_ZnamSt11align_val_t",
                                                     "_ZnwmSt11align_val_tRKSt9nothrow_t",
                                                     "_ZnamSt11align_val_tRKSt9nothrow_t"};
constexpr std::string_view kAllocationModule = "/usr/libexec/valgrind/vgpreload_memcheck-amd64-linux.so";

bool is_operator_new(const SuppressionFrame& frame) {
  return frame.linkage_name.starts_with("_Znwm") || frame.linkage_name.starts_with("_Znam") ||
         frame.function.starts_with("operator new");
}

// A frame of which only module and address are known.
bool is_unnamed(const SuppressionFrame& frame) {
  return frame.linkage_name.empty() &&
         (frame.function.empty() || frame.function.find("+0x") != std::string_view::npos);
}

struct Place {
  const char* text;
  size_t size;
  friend bool operator==(const Place&, const Place&) = default;
};

struct FramePlace {
  Place function, linkage_name, file, module;
  uint32_t line;
  friend bool operator==(const FramePlace&, const FramePlace&) = default;
};

uint64_t mixed(uint64_t hash, uint64_t value) {
  hash = (hash ^ value) * 0x9e3779b97f4a7c15;
  return hash ^ hash >> 29;
}

struct PlaceHash {
  size_t operator()(const Place& place) const {
    return mixed(reinterpret_cast<uintptr_t>(place.text), place.size);
  }
  size_t operator()(const FramePlace& place) const {
    uint64_t hash = place.line;
    for (const Place& part : {place.function, place.linkage_name, place.file, place.module})
      hash = mixed(hash, (*this)(part));
    return hash;
  }
};

Place place_of(std::string_view text) {
  return {text.data(), text.size()};
}

// Distinct patterns for one kind of text, and which of them a text matches.
class Patterns {
 public:
  uint32_t add(const NamePattern& pattern) {
    const auto [found, is_new] = numbers_.try_emplace(pattern.key(), static_cast<uint32_t>(patterns_.size()));
    if (is_new) {
      if (const std::string* only = pattern.exact())
        exact_[*only].push_back(found->second);
      else
        searched_.push_back(found->second);
      patterns_.push_back(pattern);
    }
    return found->second;
  }
  size_t size() const { return patterns_.size(); }
  const NamePattern& operator[](uint32_t number) const { return patterns_[number]; }

  // Remembered by the place of the text.
  const Numbers& matching(std::string_view text) {
    const auto [found, is_new] = known_.try_emplace(place_of(text));
    if (is_new)
      found->second = compare(text);
    return found->second;
  }
  // Not remembered: for texts that do not last.
  Numbers compare(std::string_view text) const {
    Numbers result;
    if (const auto exact = exact_.find(std::string(text)); exact != exact_.end())
      result = exact->second;
    for (const uint32_t number : searched_)
      if (patterns_[number].matches(text))
        result.push_back(number);
    sort_unique(result);
    return result;
  }

 private:
  std::vector<NamePattern> patterns_;
  std::unordered_map<std::string, uint32_t> numbers_;
  std::unordered_map<std::string, Numbers> exact_;
  Numbers searched_;
  std::unordered_map<Place, Numbers, PlaceHash> known_;
};

struct Test {
  std::array<Numbers, kKinds> wanted; // by kind; an empty list asks nothing
  bool one_kind_is_enough = false;    // an anywhere rule's
  uint32_t line = 0;
  bool fits_allocation = false; // matches the frame that recorded stacks lack
  size_t literal_bytes = 0;

  friend bool operator<(const Test& a, const Test& b) {
    return std::tie(a.wanted, a.one_kind_is_enough, a.line) <
           std::tie(b.wanted, b.one_kind_is_enough, b.line);
  }
};

constexpr uint32_t kNoTest = UINT32_MAX;

struct Element {
  uint32_t test; // kNoTest: any frame will do
  bool any_frames;
};

struct CompiledRule {
  std::vector<Element> elements; // empty: an anywhere rule, matched by its key
  LeakClasses classes;
  bool begins_with_allocation;
};

// All there is to know of a distinct frame.
struct KnownFrame {
  FramePlace place;
  bool is_operator_new = false;
  Numbers rules; // whose key is among them
  Numbers tests; // that it satisfies
};

// Distinct frames by place. Nearly every frame of every stack is looked up here, so that misses of the
// processor's cache are what it costs: open addressing has one for the slot and one for the frame.
class FrameTable {
 public:
  // The frame at that place; `is_new` if it was not known before.
  KnownFrame& at(const FramePlace& place, bool& is_new) {
    if (frames_.size() * 2 >= slots_.size())
      grow();
    const uint64_t hash = PlaceHash()(place);
    size_t slot = hash & (slots_.size() - 1);
    for (; slots_[slot].frame != nullptr; slot = (slot + 1) & (slots_.size() - 1)) {
      if (slots_[slot].hash == hash && slots_[slot].frame->place == place) {
        is_new = false;
        return *slots_[slot].frame;
      }
    }
    is_new = true;
    slots_[slot] = {hash, &frames_.emplace_back()};
    frames_.back().place = place;
    return frames_.back();
  }

 private:
  struct Slot {
    uint64_t hash;
    KnownFrame* frame;
  };

  void grow() {
    std::vector<Slot> old(std::max<size_t>(slots_.size() * 2, 1024));
    old.swap(slots_);
    for (const Slot& known : old) {
      if (known.frame == nullptr)
        continue;
      size_t slot = known.hash & (slots_.size() - 1);
      while (slots_[slot].frame != nullptr)
        slot = (slot + 1) & (slots_.size() - 1);
      slots_[slot] = known;
    }
  }

  std::vector<Slot> slots_; // a power of two
  std::deque<KnownFrame> frames_;
};

} // namespace

struct SuppressionMatcher::Index {
  std::array<Patterns, kKinds> patterns;
  std::vector<Test> tests;
  std::array<std::vector<Numbers>, kKinds> tests_led_by; // by pattern
  std::vector<Numbers> rules_keyed_by;                   // by test
  Numbers rules_without_key;
  std::vector<CompiledRule> rules;
  FrameTable frames;

  // Buffers of match(), kept for their memory.
  std::vector<const KnownFrame*> stack;
  Numbers candidates;
  std::vector<uint8_t> reached, next;

  uint32_t compile(const FramePattern& frame, const std::optional<NamePattern>& anywhere,
                   std::vector<std::pair<Test, uint32_t>>& known);
  void compile(const std::vector<SuppressionRule>& sources);
  const KnownFrame& known(const SuppressionFrame& frame);
  bool matches(const CompiledRule& rule, std::span<const KnownFrame* const> view);
  bool matches(const CompiledRule& rule);
};

// A frame's test; kNoTest if it asks nothing.
uint32_t SuppressionMatcher::Index::compile(const FramePattern& frame,
                                            const std::optional<NamePattern>& anywhere,
                                            std::vector<std::pair<Test, uint32_t>>& known_tests) {
  Test test;
  test.line = frame.line;
  size_t literal_bytes = SIZE_MAX;
  const auto add = [&](Kind kind, const NamePattern& pattern) {
    test.wanted[kind].push_back(patterns[kind].add(pattern));
    literal_bytes = std::min(literal_bytes, pattern.literal_bytes());
  };
  for (const NamePattern& pattern : frame.functions)
    add(kFunction, pattern);
  for (const NamePattern& pattern : frame.modules)
    add(kModule, pattern);
  for (const NamePattern& pattern : frame.files)
    add(kFile, pattern);
  if (anywhere) {
    test.one_kind_is_enough = true;
    for (const Kind kind : {kFunction, kModule, kFile})
      add(kind, *anywhere);
  }
  if (literal_bytes == SIZE_MAX)
    return kNoTest;
  for (Numbers& numbers : test.wanted)
    sort_unique(numbers);
  // A function's name tells more than a module's: every library has hundreds.
  test.literal_bytes = literal_bytes + (frame.functions.empty() ? 0 : 64);
  const auto fits = [&](Kind kind, std::string_view text) {
    return std::any_of(test.wanted[kind].begin(), test.wanted[kind].end(),
                       [&](uint32_t number) { return patterns[kind][number].matches(text); });
  };
  test.fits_allocation = test.wanted[kFile].empty() &&
                         (test.wanted[kModule].empty() || fits(kModule, kAllocationModule)) &&
                         (test.wanted[kFunction].empty() ||
                          std::any_of(std::begin(kAllocationFunctions), std::end(kAllocationFunctions),
                                      [&](std::string_view name) { return fits(kFunction, name); }));

  const auto at =
      std::lower_bound(known_tests.begin(), known_tests.end(), test,
                       [](const auto& known, const Test& wanted) { return known.first < wanted; });
  if (at != known_tests.end() && !(test < at->first))
    return at->second;
  const uint32_t number = static_cast<uint32_t>(tests.size());
  known_tests.insert(at, {test, number});
  tests.push_back(std::move(test));
  return number;
}

void SuppressionMatcher::Index::compile(const std::vector<SuppressionRule>& sources) {
  std::vector<std::pair<Test, uint32_t>> known_tests; // sorted
  std::vector<uint32_t> keys;
  for (const SuppressionRule& source : sources) {
    CompiledRule rule{{}, source.classes, source.begins_with_allocation};
    uint32_t key = kNoTest;
    if (source.anywhere) {
      key = compile({}, source.anywhere, known_tests);
    } else {
      for (const FramePattern& frame : source.frames) {
        const uint32_t number = compile(frame, std::nullopt, known_tests);
        rule.elements.push_back({number, frame.any_frames});
        // No key: what may match no frame at all.
        const bool may_be_absent = number == kNoTest || frame.any_frames ||
                                   (rule.begins_with_allocation && tests[number].fits_allocation);
        if (!may_be_absent && (key == kNoTest || tests[number].literal_bytes > tests[key].literal_bytes))
          key = number;
      }
    }
    rules.push_back(std::move(rule));
    keys.push_back(key);
  }
  rules_keyed_by.resize(tests.size());
  for (uint32_t rule = 0; rule < rules.size(); ++rule) {
    if (keys[rule] == kNoTest)
      rules_without_key.push_back(rule);
    else
      rules_keyed_by[keys[rule]].push_back(rule);
  }
  for (const Kind kind : {kFunction, kModule, kFile})
    tests_led_by[kind].resize(patterns[kind].size());
  for (uint32_t number = 0; number < tests.size(); ++number) {
    const Test& test = tests[number];
    for (const Kind kind : {kFunction, kModule, kFile}) {
      for (const uint32_t pattern : test.wanted[kind])
        tests_led_by[kind][pattern].push_back(number);
      if (!test.wanted[kind].empty() && !test.one_kind_is_enough)
        break; // whatever passes the first list is looked at with the others
    }
  }
}

const KnownFrame& SuppressionMatcher::Index::known(const SuppressionFrame& frame) {
  const FramePlace place{place_of(frame.function), place_of(frame.linkage_name), place_of(frame.file),
                         place_of(frame.module), frame.line};
  bool is_new = false;
  KnownFrame& result = frames.at(place, is_new);
  if (!is_new)
    return result;
  result.is_operator_new = is_operator_new(frame);
  std::array<Numbers, kKinds> matched;
  matched[kFunction] = patterns[kFunction].matching(frame.function);
  matched[kModule] = patterns[kModule].matching(frame.module);
  matched[kFile] = patterns[kFile].matching(frame.file);
  // Names of a function that stack rules may use and LeakSanitizer's do not.
  Numbers other_names;
  const auto also = [&](const Numbers& numbers) {
    other_names.insert(other_names.end(), numbers.begin(), numbers.end());
  };
  also(matched[kFunction]);
  if (!frame.linkage_name.empty())
    also(patterns[kFunction].matching(frame.linkage_name));
  constexpr std::string_view kInternalAlias = "__GI_";
  if (frame.function.starts_with(kInternalAlias))
    also(patterns[kFunction].compare(frame.function.substr(kInternalAlias.size())));
  if (is_unnamed(frame))
    also(patterns[kFunction].compare("???"));
  sort_unique(other_names);

  for (const Kind kind : {kFunction, kModule, kFile}) {
    for (const uint32_t pattern : kind == kFunction ? other_names : matched[kind]) {
      for (const uint32_t number : tests_led_by[kind][pattern]) {
        const Test& test = tests[number];
        const auto passes = [&](Kind other, const Numbers& numbers) {
          return test.wanted[other].empty() || has_any(numbers, test.wanted[other]);
        };
        const bool satisfied = test.one_kind_is_enough
                                   ? has(matched[kind], pattern)
                                   : passes(kFunction, other_names) && passes(kModule, matched[kModule]) &&
                                         passes(kFile, matched[kFile]) &&
                                         (test.line == 0 || test.line == frame.line);
        if (satisfied)
          result.tests.push_back(number);
      }
    }
  }
  sort_unique(result.tests);
  for (const uint32_t test : result.tests)
    result.rules.insert(result.rules.end(), rules_keyed_by[test].begin(), rules_keyed_by[test].end());
  sort_unique(result.rules);
  return result;
}

// Positions in the stack that the elements so far may have brought us to, element by element. A null frame is
// the allocation function's.
bool SuppressionMatcher::Index::matches(const CompiledRule& rule, std::span<const KnownFrame* const> view) {
  reached.assign(view.size() + 1, 0);
  reached[0] = 1;
  const auto satisfies = [&](size_t position, uint32_t test) {
    if (test == kNoTest)
      return true;
    const KnownFrame* frame = view[position];
    return frame == nullptr ? tests[test].fits_allocation : has(frame->tests, test);
  };
  for (const Element& element : rule.elements) {
    bool any = false;
    next.assign(view.size() + 1, 0);
    for (size_t position = 0; position <= view.size(); ++position) {
      if (element.any_frames) {
        const bool here = reached[position] != 0 ||
                          (position != 0 && next[position - 1] != 0 && satisfies(position - 1, element.test));
        next[position] = here ? 1 : 0;
      } else {
        next[position] =
            position != 0 && reached[position - 1] != 0 && satisfies(position - 1, element.test) ? 1 : 0;
      }
      any |= next[position] != 0;
    }
    if (!any)
      return false;
    reached.swap(next);
  }
  return true;
}

bool SuppressionMatcher::Index::matches(const CompiledRule& rule) {
  if (rule.elements.empty())
    return true;
  // stack[0] is the null frame.
  const std::span<const KnownFrame* const> whole(stack);
  if (!rule.begins_with_allocation)
    return matches(rule, whole.subspan(1));
  if (matches(rule, whole))
    return true;
  // Valgrind shows the outermost of operator new's own frames and nothing within it.
  size_t operators = 0;
  while (operators + 1 < whole.size() && whole[operators + 1]->is_operator_new)
    ++operators;
  return operators != 0 && matches(rule, whole.subspan(operators));
}

SuppressionMatcher::SuppressionMatcher(std::vector<SuppressionRule> rules)
    : rules_(std::move(rules)), index_(std::make_unique<Index>()) {
  index_->compile(rules_);
}

SuppressionMatcher::~SuppressionMatcher() = default;

std::optional<size_t> SuppressionMatcher::match(std::span<const SuppressionFrame> innermost_first,
                                                LeakClass leak_class) {
  Index& index = *index_;
  if (innermost_first.empty())
    return {};
  index.stack.assign(1, nullptr);
  index.candidates = index.rules_without_key;
  for (const SuppressionFrame& frame : innermost_first) {
    const KnownFrame& known = index.known(frame);
    index.stack.push_back(&known);
    index.candidates.insert(index.candidates.end(), known.rules.begin(), known.rules.end());
  }
  sort_unique(index.candidates);
  for (const uint32_t candidate : index.candidates) {
    const CompiledRule& rule = index.rules[candidate];
    if (rule.classes.has(leak_class) && index.matches(rule))
      return candidate;
  }
  return {};
}

} // namespace hl
