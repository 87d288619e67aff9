// A suppression: which leaks somebody already knows of, in one form for all the dialects it is written in.
//
// Two kinds. An *anywhere* rule (LeakSanitizer, heaptrack) asks whether any frame's function, file or module
// bears a name. A *stack* rule (Valgrind, the built-in ones) describes the frames one after another from the
// innermost outward; what lies beyond its last frame may be anything.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "heapledger/trace_format.h"
#include "suppressions/name_pattern.h"

namespace hl {

// A set of leak classes. `unknown` (no scan was made, the block merely was not freed) is in every set: what a
// rule about one class would say of such a block cannot be told, and it is better named than listed.
class LeakClasses {
 public:
  constexpr LeakClasses() = default;
  static constexpr LeakClasses all() { return LeakClasses(0x1f); }
  constexpr LeakClasses with(LeakClass leak_class) const {
    return LeakClasses(static_cast<uint8_t>(bits_ | bit(leak_class)));
  }
  constexpr bool has(LeakClass leak_class) const {
    return leak_class == LeakClass::unknown || (bits_ & bit(leak_class)) != 0;
  }
  friend constexpr bool operator==(LeakClasses, LeakClasses) = default;

 private:
  explicit constexpr LeakClasses(uint8_t bits) : bits_(bits) {}
  static constexpr uint8_t bit(LeakClass leak_class) {
    return static_cast<uint8_t>(1u << (static_cast<unsigned>(leak_class) & 7));
  }
  uint8_t bits_ = 1;
};

// A frame of a stack rule. Lists are alternatives; an empty list asks nothing.
struct FramePattern {
  bool any_frames = false; // stands for any number of frames, each as the lists ask, or for none
  std::vector<NamePattern> functions;
  std::vector<NamePattern> modules;
  std::vector<NamePattern> files;
  uint32_t line = 0; // 0: any
};

struct SuppressionRule {
  std::string name;   // what hits are listed by: the pattern, or the name the entry has
  std::string source; // "FILE:LINE", "built-in", "PROGRAM (__lsan_default_suppressions):LINE"
  bool built_in = false;
  LeakClasses classes = LeakClasses::all();

  std::optional<NamePattern> anywhere; // an anywhere rule, else a stack rule
  std::vector<FramePattern> frames;
  // The rule's first frame is the allocation function itself, as Valgrind shows it. Recorded stacks begin
  // with its caller.
  bool begins_with_allocation = false;
};

// One resolved frame, as rules look at it. An unknown text is empty.
struct SuppressionFrame {
  std::string_view function;     // demangled
  std::string_view linkage_name; // as the linker knows it
  std::string_view file;
  std::string_view module; // path
  uint32_t line = 0;
};

} // namespace hl
