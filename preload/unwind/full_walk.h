// The walker that tracks every register: signal frames, CFA expressions, registers saved anywhere.
//
// Slower than the remembering walker and used where that one meets a rule it does not handle (`complex`), for
// nested walks, and as the plain reference in tests. It steps one frame at a time and keeps nothing.
#pragma once

#include <stdint.h>

#include "unwind/dwarf_expression.h"
#include "unwind/readable_ranges.h"
#include "unwind/walker.h"

namespace hl {

class FullWalk {
 public:
  FullWalk(const EntryRegisters& entry, WalkContext& context, ReadableRanges& ranges);

  uint64_t pc() const { return pc_; }
  // pc with the node flags: kNodeExactPc after a signal frame, kNodeGuessed after a guess.
  uint64_t node_pc() const { return pc_ | (exact_ ? kNodeExactPc : 0) | (guessed_ ? kNodeGuessed : 0); }
  uint32_t module() const { return rule_.module; }
  bool any_guess() const { return any_guess_; }
  bool any_signal_frame() const { return any_signal_frame_; }

  // To the caller. False at the end of the walk; then end() says why.
  bool step();
  WalkEnd end() const { return end_; }

 private:
  bool stop(WalkEnd why) {
    end_ = why;
    return false;
  }
  bool read(uint64_t address, uint64_t& value);
  bool step_compact();
  bool step_by_frame_pointer();
  bool step_by_cfi();
  bool step_signal_context(uint64_t context_address);
  bool evaluate(const CfiFrame& frame);
  bool arrive(uint64_t pc, bool exact, bool guessed);
  MemoryReader memory();

  WalkContext& context_;
  ReadableRanges& ranges_;
  FrameRegisters registers_;
  uint64_t pc_ = 0;
  uint32_t epoch_;
  bool exact_ = false, guessed_ = false, any_guess_ = false, any_signal_frame_ = false;
  WalkEnd end_ = WalkEnd::outermost;
  Rule rule_{};
};

} // namespace hl
