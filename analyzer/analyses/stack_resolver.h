// Stacks -> readable frames: asks the symbolizer once for every distinct address of the stacks at hand,
// expands inlined functions and classifies frames, so that reports can fold what every stack has in common.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "reader/trace.h"
#include "symbols/frame_classify.h"
#include "symbols/symbolizer.h"

namespace hl {

struct ResolvedFrame {
  std::string_view function;     // never empty
  std::string_view linkage_name; // as the linker knows it; empty: none
  std::string_view file;         // empty: unknown
  uint32_t line = 0;
  std::string_view module; // path as recorded; empty: none
  bool inlined = false;    // into the next frame
  bool guessed = false;    // found by frame pointer, without unwind information
  bool marker = false;     // not a frame: says what is missing here
  FrameClass frame_class = FrameClass::kOwn;
};

// A module whose frames could not be named well.
struct ModuleTrouble {
  std::string path;
  ModuleStatus status;
  std::string reason;
  uint64_t frames; // distinct addresses of it that were asked for
};

class StackResolver {
 public:
  StackResolver(const Trace& trace, SymbolizerOptions options);

  // Makes the frames of these stacks known. Call once with all, it works in batches.
  void resolve(std::span<const StackId> stacks);

  // Innermost first, without frames of the recording itself; a resolved stack only. Empty for stack 0.
  std::vector<ResolvedFrame> frames(StackId stack) const;
  // Of one node of a resolved stack, without its callers; empty where nothing is to be shown.
  std::span<const ResolvedFrame> frames_of_node(StackId node) const;
  // The frame a stack is named after: the innermost of the program's own code, or the best stand-in.
  ResolvedFrame leading_frame(StackId stack) const;
  // The library function that allocates where the program's own code leads by way of libraries: the innermost
  // frame of one inside the leading frame, if possible one with a name. nullptr: there is none.
  const ResolvedFrame* library_frame(StackId stack) const;
  // What frames() of it would fold, by the same rules for everyone.
  static FoldedStack fold(std::span<const ResolvedFrame> frames);

  // After resolve(): modules without debug information or symbols, the most asked-for first.
  std::vector<ModuleTrouble> troubles() const;

 private:
  ModuleId symbol_module(uint32_t instance);

  const Trace& trace_;
  Symbolizer symbolizer_;
  std::unordered_map<uint32_t, ModuleId> symbol_modules_;
  std::vector<uint32_t> query_of_node_; // index + 1 into frames_
  struct Extent {
    uint32_t first, count;
  };
  std::vector<Extent> extents_;
  std::vector<ResolvedFrame> frames_;
  std::unordered_map<uint32_t, uint64_t> asked_; // by ModuleId
  std::vector<std::unique_ptr<std::string>> own_texts_;
  ResolvedFrame missing_outward_;
};

} // namespace hl
