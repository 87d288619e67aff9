// The remembering walk. It tracks pc, stack pointer and rbp alone: no rule it handles looks at another
// register, and what does not fit (`complex` rules) is left to FullWalk, whose walks are not remembered.
#include "unwind/walker.h"

#include "unwind/full_walk.h"
#include "unwind/scratch_pool.h"

namespace hl {
namespace {

constexpr uint32_t kCap = WalkMemo::kFrames;

// How the outermost of the frames just found ended the walk.
struct OuterEnd {
  WalkEnd why = WalkEnd::outermost;
  const volatile uint64_t* return_slot = nullptr; // the return address was read here before the walk ended
  uint64_t return_value = 0;
};

struct State {
  uint64_t pc, sp, rbp;
  uint8_t flags; // kGuessedFrame or 0
};

// Forgets frames from index `count` on.
inline void shrink(WalkMemo& memo, uint32_t count) {
  memo.count = count;
  if (memo.gap >= count)
    memo.gap = memo.cut = 0;
  asm volatile("" ::: "memory"); // for a handler that leaves by longjmp: in this order
}

inline bool matches(const MemoFrame& f, const State& s) {
  return f.sp == s.sp && f.pc == s.pc && (f.flags & kGuessedFrame) == s.flags &&
         (!(f.flags & kRbpLive) || f.rbp == s.rbp);
}

inline uint64_t word_at(uint64_t address) {
  return *reinterpret_cast<const volatile uint64_t*>(address);
}

inline uint64_t node_pc(const MemoFrame& f) {
  static_assert(kNodeGuessed == uint64_t{kGuessedFrame} << 61);
  return f.pc | (uint64_t{f.flags} & kGuessedFrame) << 61;
}

inline bool looks_at_rbp(RuleKind kind) {
  constexpr unsigned kThoseThatDo = 1u << static_cast<unsigned>(RuleKind::cfa_rbp) |
                                    1u << static_cast<unsigned>(RuleKind::cfa_at_rbp) |
                                    1u << static_cast<unsigned>(RuleKind::frame_pointer);
  return (kThoseThatDo >> static_cast<unsigned>(kind)) & 1;
}
constexpr uint32_t kMaxWordsPerFrame = 3;

StackId marker(WalkContext& context, StackId parent, WalkEnd why) {
  return context.tree->intern(parent, kMarkerModule, 1 + static_cast<uint64_t>(why));
}

// Frames outermost first, as the stack tree takes them; gives them their nodes.
struct FrameChain {
  MemoFrame* outermost;
  uint32_t count;

  uint32_t size() const { return count; }
  uint32_t module(uint32_t i) const { return outermost[i].module; }
  uint64_t pc(uint32_t i) const { return node_pc(outermost[i]); }
  void set_node(uint32_t i, StackId id) { outermost[i].node = id; }
};

// Gives frames [first, end), whose hash is known, their nodes below `parent`; returns the innermost one's.
inline StackId intern_hashed(WalkMemo& memo, WalkContext& context, uint32_t first, uint32_t end,
                             const ChainHash& hash, StackId parent) {
  FrameChain chain{memo.frames + first, end - first};
  return context.tree->intern_chain(parent, chain, context.tree->find_chain(parent, hash));
}

StackId intern_frames(WalkMemo& memo, WalkContext& context, uint32_t first, uint32_t end, StackId parent) {
  ChainHash hash;
  for (uint32_t i = end; i-- > first;)
    hash.add(memo.frames[i].pc);
  return intern_hashed(memo, context, first, end, hash, parent);
}

inline MemoWord* add_word(MemoWord* at, uint64_t address, uint64_t value) {
  at->address = reinterpret_cast<const volatile uint64_t*>(address);
  at->value = value;
  return at + 1;
}

// Puts frames [fresh, fresh_end), which have their nodes, behind the `count` remembered ones. `end` is null
// when the outermost of them is called by frames[count - 1]; otherwise it ended the walk, or stands where the
// middle was cut out. Those for whose words there is no room are left out.
void remember(WalkMemo& memo, uint32_t count, uint32_t fresh, const OuterEnd* end,
              uint32_t fresh_end = kCap) {
  shrink(memo, count);
  if (fresh == fresh_end)
    return;
  MemoWord* words = memo.words + (count ? memo.frames[count - 1].words_end : 0);
  const MemoWord* const last_words = memo.words + WalkMemo::kWords - kMaxWordsPerFrame;
  const MemoFrame* in = memo.frames + fresh;
  const MemoFrame* const in_end = memo.frames + fresh_end;
  MemoFrame* out = memo.frames + count;
  bool live = false; // the rbp of the frame just outside matters
  if (end) {
    MemoFrame f = *in++;
    if (end->return_slot)
      words = add_word(words, reinterpret_cast<uint64_t>(end->return_slot), end->return_value);
    live = end->why != WalkEnd::depth_cap && looks_at_rbp(f.kind);
    f.words_end = static_cast<uint16_t>(words - memo.words);
    f.flags = static_cast<uint8_t>((f.flags & kGuessedFrame) | uint8_t{live});
    *out++ = f;
  } else {
    live = out[-1].flags & kRbpLive;
  }
  static_assert(kRbpLive == 1);
  // The order of a frame's words is that in which first_changed_word comes to them, backwards: CFA, return
  // address, rbp. Source and destination may be the same frame, so all is read before anything is written.
  for (; in != in_end && words <= last_words; ++in, ++out) {
    const uint64_t pc = in->pc, sp = in->sp, rbp = in->rbp;
    const uint32_t module = in->module, rbp_slot = in->rbp_slot, node = in->node;
    const RuleKind kind = in->kind;
    const uint8_t guessed = in->flags & kGuessedFrame;
    const int64_t cfa_offset = in->cfa_offset;
    const MemoFrame& outer = out[-1];
    if (live && rbp_slot != kNotSaved) {
      words = add_word(words, sp + rbp_slot, outer.rbp);
      live = false;
    }
    words = add_word(words, outer.sp - 8, outer.pc);
    if (kind == RuleKind::cfa_at_rbp) [[unlikely]]
      words = add_word(words, rbp + static_cast<uint64_t>(cfa_offset), outer.sp);
    live |= looks_at_rbp(kind);
    out->pc = pc;
    out->sp = sp;
    out->rbp = rbp;
    out->node = node;
    out->module = module;
    out->rbp_slot = rbp_slot;
    out->words_end = static_cast<uint16_t>(words - memo.words);
    out->flags = static_cast<uint8_t>(guessed | uint8_t{live});
    out->kind = kind;
  }
  if (end && end->why == WalkEnd::depth_cap) {
    memo.gap = count;
    memo.cut = 1;
  }
  asm volatile("" ::: "memory");
  memo.count = static_cast<uint32_t>(out - memo.frames);
}

// Cuts frames out between the two ends, so that a deep recursion has room to go on.
void cut_middle(WalkMemo& memo, WalkContext& context) {
  const uint32_t count = memo.count;
  const uint32_t outer = memo.cut ? memo.gap : WalkMemo::kOuterKept, inner = outer + WalkMemo::kCut;
  shrink(memo, 0);
  const uint32_t words_outer = outer ? memo.frames[outer - 1].words_end : 0,
                 words_inner = memo.frames[inner - 1].words_end;
  const uint32_t words_end = memo.frames[count - 1].words_end;
  for (uint32_t i = words_inner; i < words_end; ++i)
    memo.words[i - (words_inner - words_outer)] = memo.words[i];
  StackId parent = marker(context, outer ? memo.frames[outer - 1].node : 0, WalkEnd::depth_cap);
  for (uint32_t i = inner; i < count; ++i) {
    MemoFrame f = memo.frames[i];
    f.node = parent = context.tree->intern(parent, f.module, node_pc(f));
    f.words_end = static_cast<uint16_t>(f.words_end - (words_inner - words_outer));
    memo.frames[i - WalkMemo::kCut] = f;
  }
  asm volatile("" ::: "memory");
  memo.gap = outer;
  memo.cut = 1;
  memo.count = count - WalkMemo::kCut;
  context.count_end(WalkEnd::depth_cap);
}

// How many of the remembered outer frames still stand, found from the outside inwards.
uint32_t standing_outer_frames(const WalkMemo& memo, uint32_t count) {
  uint32_t word = 0, standing = 0;
  for (uint32_t i = 0; i < count; ++i) {
    const MemoFrame& f = memo.frames[i];
    for (; word < f.words_end; ++word)
      if (*memo.words[word].address != memo.words[word].value)
        return standing;
    // What vouches for its pc otherwise is a word of the next frame, which may not be there any more.
    if (word_at(f.sp - 8) == f.pc)
      standing = i + 1;
  }
  return standing;
}

// A walk that has run out of room may go on to the outer end of the stack: it then writes round and round in
// frames [0, kOuterKept), so that the outermost are there in the end, and frames [kOuterKept, kCap) keep the
// innermost. Depth costs such a walk time, which a thread has a bounded amount of: kFarFrames at once,
// kFarRefill for each walk that runs out of room (and takes about as long as a tenth of that anyhow).
constexpr uint32_t kFarFrames = 1 << 20;
constexpr uint32_t kFarRefill = 8192;

bool may_go_far(WalkMemo& memo) {
  memo.far_frames -= memo.far_frames < kFarRefill ? memo.far_frames : kFarRefill;
  return memo.far_frames < kFarFrames;
}

void reverse(MemoFrame* frames, uint32_t first, uint32_t end) {
  while (first < end && first < --end) {
    const MemoFrame f = frames[first];
    frames[first++] = frames[end];
    frames[end] = f;
  }
}

// After a walk that went far: gives both ends their nodes, a marker between them; returns the innermost
// one's. `outermost` is the frame that ended the walk.
StackId intern_both_ends(WalkMemo& memo, WalkContext& context, uint32_t outermost, WalkEnd why) {
  constexpr uint32_t kOuter = WalkMemo::kOuterKept;
  reverse(memo.frames, 0, outermost);
  reverse(memo.frames, outermost, kOuter);
  reverse(memo.frames, 0, kOuter);
  const StackId root = why == WalkEnd::outermost ? 0 : marker(context, 0, why);
  const StackId outer = intern_frames(memo, context, 0, kOuter, root);
  context.count_end(WalkEnd::depth_cap);
  return intern_frames(memo, context, kOuter, kCap, marker(context, outer, WalkEnd::depth_cap));
}

// A walk whose frames need every register. Its frames are not remembered; what was remembered stays.
[[gnu::noinline]] StackId capture_fully(WalkMemo& memo, const EntryRegisters& entry, WalkContext& context) {
  FullWalk walk(entry, context, memo.ranges);
  uint32_t fresh = kCap;
  ChainHash hash;
  WalkEnd end = WalkEnd::outermost;
  uint32_t far_frames = 0;
  while (walk.pc() != 0) {
    if (fresh == 0) {
      if (far_frames ? far_frames >= kFarFrames : !may_go_far(memo)) {
        end = WalkEnd::depth_cap;
        break;
      }
      fresh = WalkMemo::kOuterKept;
      far_frames += WalkMemo::kOuterKept;
    }
    MemoFrame& f = memo.frames[--fresh];
    if (fresh < memo.count)
      shrink(memo, fresh);
    f.pc = walk.node_pc(); // with its flags
    hash.add(f.pc);
    f.flags = 0;
    f.module = walk.module();
    if (!walk.step()) {
      end = walk.end();
      break;
    }
  }
  memo.walked_frames += kCap + far_frames - fresh;
  context.count_end(end);
  if (walk.any_guess())
    context.count_end(WalkEnd::frame_pointer_guess);
  memo.ranges.select(entry.rsp);
  if (far_frames) {
    memo.far_frames += far_frames;
    return intern_both_ends(memo, context, fresh, end);
  }
  return intern_hashed(memo, context, fresh, kCap, hash,
                       end == WalkEnd::outermost ? 0 : marker(context, 0, end));
}

// The end of a walk that went far and whose frames can be remembered.
[[gnu::noinline]] StackId capture_both_ends(WalkMemo& memo, WalkContext& context, uint32_t outermost,
                                            uint32_t far_frames, const OuterEnd& end) {
  memo.walked_frames += kCap + far_frames - outermost;
  memo.far_frames += far_frames;
  context.count_end(end.why);
  const StackId id = intern_both_ends(memo, context, outermost, end.why);
  remember(memo, 0, 0, &end, WalkMemo::kOuterKept);
  OuterEnd middle;
  middle.why = WalkEnd::depth_cap;
  remember(memo, memo.count, WalkMemo::kOuterKept, &middle);
  return id;
}

} // namespace

StackId capture_stack_by_walking(WalkMemo& memo, const EntryRegisters& entry, WalkContext& context) {
  const uint32_t epoch = context.epoch.now();
  if (memo.epoch != epoch) {
    memo.forget();
    memo.epoch = epoch;
  }
  if (!memo.ranges.select(entry.rsp)) {
    context.count_end(WalkEnd::unreadable);
    return marker(context, 0, WalkEnd::unreadable);
  }
  if (memo.count > kCap - WalkMemo::kFreshReserve)
    cut_middle(memo, context);

  State s{entry.rip, entry.rsp, entry.rbp, 0};
  uint32_t count = memo.count; // remembered frames not yet passed
  uint32_t fresh = kCap;       // frames[fresh, kCap) were found by this walk
  ChainHash hash;              // of those
  uint32_t far_frames = 0;     // walked after there was no more room
  OuterEnd end;

  for (;;) {
    while (count && memo.frames[count - 1].sp < s.sp)
      --count;
    if (memo.cut && count > memo.gap && count - memo.gap < WalkMemo::kInnerKept) {
      // A recursion has come back to where its middle was cut out: that part is to be seen again.
      count = memo.gap;
      shrink(memo, count);
    }
    if (count && matches(memo.frames[count - 1], s)) {
      const uint32_t matched = count - 1;
      const StackId parent = memo.frames[matched].node;
      FrameChain chain{memo.frames + fresh, kCap - fresh};
      const StackTree::ChainProbe probe = context.tree->find_chain(parent, hash);
      const uint32_t changed = first_changed_word(memo.words, memo.frames[matched].words_end);
      if (changed == 0) {
        memo.walked_frames += kCap - fresh;
        memo.verified_hits += fresh == kCap;
        const StackId id = context.tree->intern_chain(parent, chain, probe);
        remember(memo, count, fresh, nullptr);
        return id;
      }
      // Everything inside of frame j is as it was; walk on from j. Those frames become fresh ones: their
      // nodes hang below others now, and which registers matter in them is to be found out again.
      uint32_t j = matched;
      while (j && memo.frames[j - 1].words_end >= changed)
        --j;
      if (memo.cut && j < memo.gap && matched >= memo.gap)
        j = memo.gap;
      shrink(memo, j);
      for (uint32_t k = matched; k > j; --k) {
        MemoFrame f = memo.frames[k];
        f.rbp = s.rbp;
        if (f.kind == RuleKind::cfa_at_rbp) {
          const MemoWord& cfa_word = memo.words[f.words_end - 1];
          f.cfa_offset = static_cast<int16_t>(reinterpret_cast<uint64_t>(cfa_word.address) - f.rbp);
        }
        if (f.rbp_slot != kNotSaved)
          s.rbp = word_at(f.sp + f.rbp_slot);
        f.flags &= kGuessedFrame;
        memo.frames[--fresh] = f;
        hash.add(f.pc);
      }
      s.pc = memo.frames[j].pc;
      s.sp = memo.frames[j].sp;
      s.flags = memo.frames[j].flags & kGuessedFrame;
      count = j;
    }

    // One frame outwards by its rule.
    Rule rule;
    if (const RuleEntry* e = context.rules.find(s.pc, epoch)) [[likely]]
      rule = e->rule;
    else
      rule = resolve_rule(context, s.pc, false, epoch);

    if (fresh == count) {
      // No room. Give up what is remembered inwards of the outer end, which is kept to the last.
      if (count > WalkMemo::kOuterKept) {
        --count;
      } else if (far_frames ? far_frames < kFarFrames
                            : standing_outer_frames(memo, count) < WalkMemo::kOuterKept && may_go_far(memo)) {
        count = 0;
        shrink(memo, 0);
        if (fresh == 0) {
          fresh = WalkMemo::kOuterKept;
          far_frames += WalkMemo::kOuterKept;
        }
      } else if (far_frames) {
        end.why = WalkEnd::depth_cap;
        return capture_both_ends(memo, context, fresh, far_frames, end);
      } else {
        const uint32_t standing = standing_outer_frames(memo, count);
        context.count_end(WalkEnd::depth_cap);
        shrink(memo, standing);
        end.why = WalkEnd::depth_cap;
        const StackId parent =
            marker(context, standing ? memo.frames[standing - 1].node : 0, WalkEnd::depth_cap);
        memo.walked_frames += kCap - fresh;
        const StackId id = intern_hashed(memo, context, fresh, kCap, hash, parent);
        remember(memo, standing, fresh, &end);
        return id;
      }
    }
    MemoFrame& f = memo.frames[--fresh];
    if (fresh < memo.count) [[unlikely]]
      shrink(memo, count);
    hash.add(s.pc);
    f.pc = s.pc;
    f.sp = s.sp;
    f.rbp = s.rbp;
    f.module = rule.module;
    f.rbp_slot = kNotSaved;
    f.cfa_offset = 0;
    f.flags = s.flags;
    f.kind = rule.kind;

    uint64_t cfa = 0;
    uint8_t next_flags = 0;
    if (rule.kind <= RuleKind::cfa_rbp && rule.kind != RuleKind::complex) [[likely]] {
      cfa = (rule.kind == RuleKind::cfa_rsp ? s.sp : s.rbp) + static_cast<uint64_t>(int64_t{rule.cfa_offset});
    } else
      switch (rule.kind) {
      case RuleKind::cfa_at_rbp: {
        const uint64_t slot = s.rbp + static_cast<uint64_t>(int64_t{rule.cfa_offset});
        if (s.rbp < s.sp || !memo.ranges.ensure(slot, 8) || !memo.ranges.ensure(s.rbp, 8)) {
          end.why = WalkEnd::unreadable;
          goto ended;
        }
        cfa = word_at(slot);
        f.cfa_offset = static_cast<int16_t>(rule.cfa_offset);
        break;
      }
      case RuleKind::frame_pointer:
        if (s.rbp == 0)
          goto ended;
        if (s.rbp < s.sp || s.rbp % 8 != 0 || !memo.ranges.ensure(s.rbp, 16) ||
            !memo.ranges.contains(s.rbp + 8)) {
          end.why = WalkEnd::no_rule;
          goto ended;
        }
        cfa = s.rbp + 16;
        next_flags = kGuessedFrame;
        context.count_end(WalkEnd::frame_pointer_guess);
        break;
      case RuleKind::outermost:
        goto ended;
      default:
        return capture_fully(memo, entry, context);
      }

    {
      // The CFA lies outwards of the stack pointer and inside the range that was seen readable.
      const uint64_t high = memo.ranges.high();
      if (cfa - s.sp < 8 || cfa - s.sp > high - s.sp) [[unlikely]] {
        if (cfa < s.sp + 8) {
          end.why = WalkEnd::bad_cfa;
          goto ended;
        }
        if (!memo.ranges.ensure(cfa - 8, 8) || !memo.ranges.contains(cfa - 8)) {
          end.why = WalkEnd::unreadable;
          goto ended;
        }
      }
      const uint64_t pc = word_at(cfa - 8);
      uint64_t rbp = s.rbp;
      if (rule.kind == RuleKind::frame_pointer || rule.kind == RuleKind::cfa_at_rbp) {
        f.rbp_slot = static_cast<uint32_t>(s.rbp - s.sp);
        rbp = word_at(s.rbp);
      } else if (rule.saved[kSavedRbp]) {
        const uint64_t slot = cfa - 8 * uint64_t{rule.saved[kSavedRbp]};
        if (slot < s.sp) [[unlikely]]
          return capture_fully(memo, entry, context);
        if (slot - s.sp >= kNotSaved) [[unlikely]]
          return capture_fully(memo, entry, context);
        f.rbp_slot = static_cast<uint32_t>(slot - s.sp);
        rbp = word_at(slot);
      }
      if (pc < 4096 || pc >= (uint64_t{1} << 47)) [[unlikely]] {
        end.why = pc == 0 ? WalkEnd::outermost : WalkEnd::no_rule;
        end.return_slot = reinterpret_cast<const volatile uint64_t*>(cfa - 8);
        end.return_value = pc;
        goto ended;
      }
      s = State{pc, cfa, rbp, next_flags};
      continue;
    }

  ended:
    // Remembered frames that were not reached are another stack's.
    shrink(memo, 0);
    if (far_frames)
      return capture_both_ends(memo, context, fresh, far_frames, end);
    memo.walked_frames += kCap - fresh;
    context.count_end(end.why);
    const StackId id = intern_hashed(memo, context, fresh, kCap, hash,
                                     end.why == WalkEnd::outermost ? 0 : marker(context, 0, end.why));
    remember(memo, 0, fresh, &end);
    return id;
  }
}

namespace {
constinit ScratchPool<WalkMemo, 8> g_nested_memos;
}

StackId capture_stack_nested(const EntryRegisters& entry, WalkContext& context) {
  context.count_end(WalkEnd::nested);
  if (WalkMemo* memo = g_nested_memos.take()) {
    // Its last user may have been another thread: nothing is remembered but nodes, which belong to all.
    shrink(*memo, 0);
    memo->ranges.clear();
    const StackId id = capture_stack_by_walking(*memo, entry, context);
    g_nested_memos.give(memo);
    return id;
  }
  ReadableRanges ranges{};
  WalkedFrame frames[kNestedFrames];
  const PlainWalk walk = walk_plainly(entry, context, ranges, frames, kNestedFrames);
  context.count_end(walk.end);
  StackId parent = walk.end == WalkEnd::outermost ? 0 : marker(context, 0, walk.end);
  for (uint32_t i = walk.frames; i-- > 0;)
    parent = context.tree->intern(parent, frames[i].module, frames[i].pc);
  return parent;
}

void note_executable_mapping(WalkContext& context, uint64_t start, uint64_t bytes) {
  const uint32_t n = context.modules.count();
  for (uint32_t i = 0; i < n; ++i) {
    const ModuleInstance& m = context.modules.instance(i);
    if (m.presence.load(std::memory_order_relaxed) != Presence::mapped || m.end <= start ||
        m.start >= start + bytes)
      continue;
    context.epoch.bump();
    return;
  }
}

void reset_after_fork(WalkContext& context) {
  context.epoch.bump(); // every memo forgets, those of the pool included
  context.rules.reset();
  context.modules.reset();
  context.tree->reset();
}

} // namespace hl
