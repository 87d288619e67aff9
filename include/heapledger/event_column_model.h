// What the two ends of an events chunk remember of it so far, and how they predict from it: see
// event_columns.h, and docs/format.md for the words of it. A change of anything here changes the format: a
// trace would be read wrongly without a sign, since nothing but the predictions is written. Such a change
// needs a new codec number.
//
// Every update is here, so that writer and reader cannot differ. Nothing here may depend on what only the
// writer knows, on earlier chunks or on uninitialised memory.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <vector>

#include "heapledger/block_events.h"
#include "heapledger/event.h"
#include "heapledger/trace_format.h"

namespace hl {

inline constexpr uint8_t kColumnCodecPredicted = 1;
inline constexpr uint32_t kMaxEventsPerChunk = 1u << 17; // what a writer puts in; a reader accepts more
inline constexpr uint32_t kMaxChunkDistance = 32767;

// What both ends remember of the chunk so far.
class ColumnModel {
 public:
  static constexpr uint32_t kRing = 32768;
  static constexpr uint32_t kStackContexts = 4096;
  static constexpr uint32_t kStackCandidates = 3;
  static constexpr uint32_t kSizeSlots = 4096;
  static constexpr uint32_t kClasses = 1024;
  static constexpr uint32_t kRecentlyFreed = 7; // per class: what glibc's thread cache keeps

  ColumnModel()
      : addresses_(kRing), classes_(kRing), stacks_(kStackContexts), sizes_(kSizeSlots), freed_(kClasses) {}

  void reset(UsablePredictor predictor) {
    predictor_ = predictor;
    next_ordinal_ = 1;
    last_freed_ = 0;
    bump_ = 0;
    std::memset(static_cast<void*>(stacks_.data()), 0, stacks_.size() * sizeof(stacks_[0]));
    std::memset(sizes_.data(), 0, sizes_.size() * sizeof(sizes_[0]));
    std::memset(static_cast<void*>(freed_.data()), 0, freed_.size() * sizeof(freed_[0]));
  }
  void begin_segment(const EventSegment& s) {
    cursor_ = {s.base_ticks, s.base_address, s.base_stack};
    before_previous_stack_ = 0;
    thread_ = s.thread_index;
  }

  // Ordinals count the allocations of this chunk from 1, in column order.
  uint64_t next_ordinal() const { return next_ordinal_; }
  uint64_t address_of(uint64_t ordinal) const { return addresses_[ordinal % kRing]; }
  bool known(uint64_t ordinal) const {
    return ordinal != 0 && ordinal < next_ordinal_ && next_ordinal_ - ordinal <= kMaxChunkDistance;
  }
  void prefetch(uint64_t ordinal) const {
    __builtin_prefetch(&addresses_[ordinal % kRing]);
    __builtin_prefetch(&classes_[ordinal % kRing]);
  }
  // What a program that frees in the order of allocation frees next.
  uint64_t predicted_freed() const { return last_freed_ + 1; }

  struct StackContext {
    StackId candidates[kStackCandidates];
  };
  StackContext& stack_context(unsigned kind) {
    const uint64_t key = (uint64_t{cursor_.stack} << 32 | before_previous_stack_) + kind;
    return stacks_[(key * 0x9e3779b97f4a7c15u) >> 52];
  }
  // rank: which candidate it was; kStackCandidates: none of them.
  void stack_seen(StackContext& context, unsigned rank, StackId stack) {
    const StackId first = context.candidates[0], second = context.candidates[1];
    context.candidates[2] = rank >= 2 ? second : context.candidates[2];
    context.candidates[1] = rank >= 1 ? first : second;
    context.candidates[0] = stack; // with rank 0 it was
    before_previous_stack_ = cursor_.stack;
    cursor_.stack = stack;
  }
  uint64_t& size_of_stack(StackId stack) { return sizes_[(stack * 0x9e3779b1u) >> 20]; }

  uint64_t recently_freed(uint64_t size) const {
    const Freed& f = freed_[freed_index(predict_usable(predictor_, size))];
    const uint64_t any = f.count != 0;
    return f.addresses[f.count - any] & (0 - any);
  }
  uint64_t bump() const { return bump_; }

  // code: as in op. For a realloc `predicted` is what recently_freed said.
  void allocated(uint64_t address, uint64_t size, uint64_t usable, bool was_recently_freed, bool surprise) {
    if (was_recently_freed || surprise) {
      Freed& f = freed_[freed_index(predict_usable(predictor_, size))];
      f.count -= f.count != 0;
    }
    if (!was_recently_freed)
      bump_ = address + usable + 8;
    addresses_[next_ordinal_ % kRing] = address;
    classes_[next_ordinal_ % kRing] = freed_index(usable);
    next_ordinal_++;
    cursor_.address = address;
  }
  void freed(uint64_t ordinal) { // known(ordinal)
    last_freed_ = ordinal;
    const uint64_t address = addresses_[ordinal % kRing];
    Freed& f = freed_[classes_[ordinal % kRing]];
    if (f.count < kRecentlyFreed)
      f.addresses[f.count++] = address;
    cursor_.address = address;
  }
  void freed_unknown(uint64_t address) { cursor_.address = address; }

  BlockCursor& cursor() { return cursor_; }
  UsablePredictor predictor() const { return predictor_; }

 private:
  struct Freed {
    uint64_t count;
    uint64_t addresses[kRecentlyFreed];
  };
  uint16_t freed_index(uint64_t usable) const {
    return static_cast<uint16_t>(((usable + 8) / 16 + thread_ * 97u) % kClasses);
  }

  UsablePredictor predictor_ = UsablePredictor::requested;
  uint32_t thread_ = 0;
  uint64_t next_ordinal_ = 1;
  uint64_t last_freed_ = 0;
  uint64_t bump_ = 0;
  StackId before_previous_stack_ = 0;
  BlockCursor cursor_{};
  std::vector<uint64_t> addresses_;
  std::vector<uint16_t> classes_;
  std::vector<StackContext> stacks_;
  std::vector<uint64_t> sizes_;
  std::vector<Freed> freed_;
};

namespace column_codec {
inline constexpr unsigned kFreeOps = 192, kExtendedOps = 207, kOps = 211;
inline constexpr unsigned kNoStack = 4;

struct Op {
  EventKind kind;
  uint8_t size_hit, usable_given, stack, address;
};
constexpr std::array<Op, 256> make_ops() {
  constexpr EventKind kKinds[4] = {EventKind::malloc, EventKind::calloc, EventKind::realloc,
                                   EventKind::aligned};
  std::array<Op, 256> ops{};
  for (unsigned i = 0; i < 256; i++) {
    const auto byte = [](unsigned v) { return static_cast<uint8_t>(v); };
    if (i < kFreeOps)
      ops[i] = {kKinds[i / 48], byte(i / 24 % 2), byte(i / 12 % 2), byte(i / 3 % 4), byte(i % 3)};
    else if (i < kExtendedOps)
      ops[i] = {EventKind::free, 0, 0, byte((i - kFreeOps) / 3), byte((i - kFreeOps) % 3)};
    else if (i < kOps)
      ops[i] = {EventKind::extended, 0, 0, byte(i - kExtendedOps), 0};
    else
      ops[i] = {EventKind::none, 0, 0, 0, 0};
  }
  return ops;
}
inline constexpr std::array<Op, 256> kOpTable = make_ops();
} // namespace column_codec

} // namespace hl
