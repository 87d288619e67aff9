// A thread's memory of its last walk: what makes the next one cheap, exactly.
//
// Frames stand outermost first. For each: its state (pc, stack pointer, rbp) and, in `words`, the address and
// value of every stack word that was read to get from it to its caller. The registers that matter are the
// ones a later rule looks at: `live` says whether rbp, as it was in this frame, is used farther out before a
// frame in between restores it; words that only restore dead registers are not kept.
//
// Equal state in one frame + equal words from there outwards + same rules = the same walk, by induction over
// the frames. So a new walk that reaches a remembered state compares words instead of walking.
//
//   frames  [0 ........ count)            remembered, outermost first
//                     [fresh ..... cap)   found by the walk in progress, also outermost first: it writes
//                     downwards
//   words   [0, frames[i].words_end)      of the frames 0..i
//
// Invariant: frames[0, count) and their words are whole at every instruction. Whoever changes them lowers
// `count` first, so a walk that is abandoned (longjmp out of a handler, a dead vfork child) leaves less
// memory, never a wrong one.
//
// Stacks deeper than the memory lose their middle (`cut`): frames [0, gap) and [gap, count) are then two
// ends, each verified for itself, joined by a marker node.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "heapledger/event.h"
#include "unwind/readable_ranges.h"
#include "unwind/rule.h"

namespace hl {

// For what is inline here and compiled into sanitized tests: it reads other functions' frames.
#if defined(__SANITIZE_ADDRESS__)
#define HL_READS_STACKS __attribute__((no_sanitize_address))
#else
#define HL_READS_STACKS
#endif

struct MemoFrame {
  uint64_t pc;
  uint64_t sp;  // stack pointer while a callee runs: CFA of the callee
  uint64_t rbp; // meaningful if live
  StackId node; // of fresh frames only once the walk is done
  uint32_t module;
  uint32_t rbp_slot; // the caller's rbp is saved at sp + rbp_slot; kNotSaved
  union {
    uint16_t words_end; // remembered frames
    int16_t cfa_offset; // fresh frames, cfa_at_rbp alone
  };
  uint8_t flags; // MemoFrameFlags
  RuleKind kind;
};
static_assert(sizeof(MemoFrame) == 40);
inline constexpr uint32_t kNotSaved = 0xffffffff;
enum MemoFrameFlags : uint8_t { kRbpLive = 1, kGuessedFrame = 2 };

struct MemoWord {
  const volatile uint64_t* address;
  uint64_t value;
};

struct WalkMemo {
  static constexpr uint32_t kFrames = 736;
  static constexpr uint32_t kWords = 1456;
  static constexpr uint32_t kOuterKept = 192;   // frames of the outer end kept when the middle is cut out
  static constexpr uint32_t kInnerKept = 128;   // of the inner end at least; fewer: walked anew
  static constexpr uint32_t kCut = 256;         // frames cut out at a time
  static constexpr uint32_t kFreshReserve = 64; // room for new frames at the start of a walk

  uint32_t epoch; // module epoch of everything remembered
  uint32_t count;
  uint32_t gap; // if cut: frames[gap] is the outermost of the inner end
  uint32_t cut; // 1: the middle of the stack (gap 0: its whole outer part) is missing
  ReadableRanges ranges;
  uint64_t walked_frames; // statistics of this thread: frames found by rules
  uint64_t verified_hits; // events whose innermost frame was remembered
  uint64_t far_frames;    // debt of walks that went on to the outer end of a stack too deep to be remembered
  MemoFrame frames[kFrames];
  MemoWord words[kWords];

  // Everything: the epoch is over, or the process is another one.
  void forget() {
    count = 0;
    gap = 0;
    cut = 0;
  }
};
static_assert(sizeof(WalkMemo) <= 53 * 1024);

// Compares words [0, end), the innermost first: exactly the reads a walker would do, in its order, so nothing
// is read that an unchanged stack does not vouch for. Returns 0, or 1 + the index of the first that differs.
HL_READS_STACKS inline uint32_t first_changed_word(const MemoWord* words, uint32_t end) {
  const MemoWord* p = words + end;
  while (p - words >= 4) {
    if (*p[-1].address != p[-1].value)
      return static_cast<uint32_t>(p - words);
    if (*p[-2].address != p[-2].value)
      return static_cast<uint32_t>(p - words) - 1;
    if (*p[-3].address != p[-3].value)
      return static_cast<uint32_t>(p - words) - 2;
    if (*p[-4].address != p[-4].value)
      return static_cast<uint32_t>(p - words) - 3;
    p -= 4;
  }
  while (p != words) {
    if (*p[-1].address != p[-1].value)
      return static_cast<uint32_t>(p - words);
    --p;
  }
  return 0;
}

} // namespace hl
