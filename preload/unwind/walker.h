// Capturing the call stack of an event: the heart of the event path.
//
//   StackId id = capture_stack(memo, registers, context);
//
// walks from the caller of an interposed function outwards and returns the id of the stack in the stack tree.
// It never takes a lock, never allocates from the heap, never faults on whatever the stack holds, keeps
// errno, and makes no system call but to probe a stack page that this thread has not met before and, once per
// process run, to map table memory. Cost: proportional to the frames that are new since the thread's last
// event, plus one comparison for each word remembered of the frames outside them.
//
// Rules for callers:
// * One WalkMemo a thread, zero-filled at first, and no two walks in it at once: a handler that interrupts a
//   walk uses capture_stack_nested.
// * In the child of a fork, before the first walk: reset_after_fork(context). The memos then forget by
// themselves.
// * Hooks call note_unmapped() (readable_ranges.h) for munmap and the like, and note_executable_mapping()
// after
//   memory was made executable.
//
// Stack use: on a hit a few words, in a walk of new frames about 650 bytes, where a rule is decoded for the
// first time 1.5 KiB, where a module is met for the first time 2 KiB. Larger buffers come from a pool.
#pragma once

#include <atomic>
#include <stdint.h>

#include "stacks/stack_tree.h"
#include "unwind/module_epoch.h"
#include "unwind/module_table.h"
#include "unwind/rule_table.h"
#include "unwind/walk_memo.h"

namespace hl {

// What all threads share. Valid as zero bytes, but for: tree must be set; modules.dl_find_object and
// modules.storage should be; epoch.find_load_counter() is called in the constructor. walk_ends: kWalkEnds
// counters by cause, or nullptr. Each walk that goes to its end is counted, one that meets remembered frames
// is not.
struct WalkContext {
  ModuleEpoch epoch;
  RuleTable rules;
  ModuleTable modules;
  StackTree* tree = nullptr;
  std::atomic<uint64_t>* walk_ends = nullptr;
  std::atomic<uint64_t> unknown_code{0}; // module epoch << 32 | how often code of no module was met in it

  // Code of no module is asked for again a few times in each epoch before that is believed: ld.so counts a
  // library as loaded before it can be looked up, and runs its IFUNC resolvers in between. Races cost a
  // question more or less.
  bool believes_in_unknown_code(uint32_t now) {
    const uint64_t met = unknown_code.load(std::memory_order_relaxed);
    const uint64_t count = met >> 32 == now ? met & 0xffffffff : 0;
    if (count >= kUnknownCodeQuestions)
      return true;
    unknown_code.store(uint64_t{now} << 32 | (count + 1), std::memory_order_relaxed);
    return false;
  }
  static constexpr uint64_t kUnknownCodeQuestions = 256;

  void count_end(WalkEnd end) const {
    if (walk_ends)
      walk_ends[static_cast<uint32_t>(end)].fetch_add(1, std::memory_order_relaxed);
  }
};

// The rest of capture_stack: any walk whose innermost frame is not the remembered one.
[[gnu::noinline]] StackId capture_stack_by_walking(WalkMemo& memo, const EntryRegisters& entry,
                                                   WalkContext& context);

HL_READS_STACKS inline StackId capture_stack(WalkMemo& memo, const EntryRegisters& entry,
                                             WalkContext& context) {
  if (memo.count != 0 && memo.epoch == context.epoch.now()) [[likely]] {
    const MemoFrame& top = memo.frames[memo.count - 1];
    if (top.sp == entry.rsp && top.pc == entry.rip && (!(top.flags & kRbpLive) || top.rbp == entry.rbp) &&
        first_changed_word(memo.words, top.words_end) == 0) [[likely]] {
      ++memo.verified_hits;
      return top.node;
    }
  }
  return capture_stack_by_walking(memo, entry, context);
}

// Executable memory has appeared at [start, start + bytes) by other means than ld.so. Begins a new epoch if a
// module is on record there: its rules must not be used for what is there now. A JIT's own mappings cost
// nothing.
void note_executable_mapping(WalkContext& context, uint64_t start, uint64_t bytes);

// For a walk inside a walk (a signal handler that interrupted our code). Uses no memory of the thread's; when
// the few shared buffers are all in use, the stack is cut after kNestedFrames frames.
StackId capture_stack_nested(const EntryRegisters& entry, WalkContext& context);
inline constexpr uint32_t kNestedFrames = 24;

// Forgets everything that names the parent's records. Only while no other thread runs; the caller then
// initialises context.tree->storage anew.
void reset_after_fork(WalkContext& context);

// A plain walk: no memory, no tree. Frames innermost first, with kNodeExactPc and kNodeGuessed in the pc.
// For tests, the checking mode and the reference unwinder.
struct WalkedFrame {
  uint64_t pc;
  uint32_t module;
};
struct PlainWalk {
  uint32_t frames;
  WalkEnd end;
};
PlainWalk walk_plainly(const EntryRegisters& entry, WalkContext& context, ReadableRanges& ranges,
                       WalkedFrame* out, uint32_t capacity);

// The rule at `pc`: from the table, or decoded and added to it.
Rule resolve_rule(WalkContext& context, uint64_t pc, bool exact_pc, uint32_t epoch);

} // namespace hl
