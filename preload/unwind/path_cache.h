// Paths met lately: from malloc's caller out to a frame that was remembered, each frame with its pc, its step
// and its node. A walk that goes the same way again reads one entry here in place of a rule for every frame,
// the chain cache and the nodes.
//
// An entry is found by what a walk knows before its first step (PathCache::key). That only foretells the way:
// the walker compares every pc with the return address that stands on the stack. A rule is a function of the
// pc within a module epoch, so equal pcs make equal steps and the result is that of walking, by the same
// induction as for the remembered walk. Only frames whose CFA is the stack pointer plus a constant are kept:
// others depend on rbp.
//
//   entry   128 bytes: sequence | epoch | tag and number of frames | node of the remembered frame
//           then seven frames, the innermost first
//
// Any thread, any signal handler, no lock: a writer makes the sequence odd, a reader believes nothing unless
// it was even and the same before and after. A writer that never comes back (a handler's longjmp, a fork)
// costs its entry. The table begins with 8 KiB and grows by use, so that short programs touch little of it;
// an entry that the larger table looks for elsewhere is forgotten.
#pragma once

#include <atomic>
#include <stdint.h>

#include "heapledger/event.h"

namespace hl {

struct PathFrame {
  static constexpr unsigned kPcBits = 47;
  static constexpr uint32_t kMaxModule = (1u << (64 - kPcBits)) - 1;
  static constexpr uint32_t kMaxStep = 0xfffe, kNotSaved = 0xffff; // in words of 8 bytes

  uint64_t pc;
  uint32_t module;
  StackId node;
  uint32_t step_words; // CFA - stack pointer
  uint32_t rbp_words;  // where the caller's rbp is saved, from the stack pointer, within the step; kNotSaved
};

class Path {
 public:
  static constexpr unsigned kMaxFrames = 7;

  // What a reader holds on to between begin_read() and still().
  struct Reading {
    uint32_t sequence;
    uint32_t frames; // 0: no path of this key and epoch
    StackId parent;
  };
  Reading begin_read(uint64_t key, uint32_t epoch) const {
    // Acquire, here and below: what is read next is not read before.
    const uint32_t sequence = sequence_.load(std::memory_order_acquire);
    const uint32_t tagged = tag_and_frames_.load(std::memory_order_acquire);
    const bool found = (sequence & 1) == 0 && (tagged ^ tag(key)) <= kMaxFrames &&
                       epoch_.load(std::memory_order_acquire) == epoch;
    return {sequence, found ? tagged & kMaxFrames : 0, parent_.load(std::memory_order_acquire)};
  }
  PathFrame frame(uint32_t i) const {
    const uint64_t code = frames_[i].code.load(std::memory_order_acquire);
    const uint64_t place = frames_[i].place.load(std::memory_order_acquire);
    return {code & kPcMask, static_cast<uint32_t>(code >> PathFrame::kPcBits), static_cast<StackId>(place),
            static_cast<uint32_t>(place >> 32) & 0xffff, static_cast<uint32_t>(place >> 48)};
  }
  bool still(const Reading& r) const { return sequence_.load(std::memory_order_relaxed) == r.sequence; }

  // False: somebody else is writing it. Then set_frame() for 1 to kMaxFrames frames, and end_write().
  bool begin_write() {
    uint32_t sequence = sequence_.load(std::memory_order_relaxed);
    return (sequence & 1) == 0 &&
           sequence_.compare_exchange_strong(sequence, sequence + 1, std::memory_order_acquire,
                                             std::memory_order_relaxed);
  }
  // Release, here and below: the odd sequence is seen before what is written.
  void set_frame(uint32_t i, const PathFrame& f) {
    frames_[i].code.store(f.pc | uint64_t{f.module} << PathFrame::kPcBits, std::memory_order_release);
    frames_[i].place.store(uint64_t{f.rbp_words} << 48 | uint64_t{f.step_words} << 32 | f.node,
                           std::memory_order_release);
  }
  void end_write(uint64_t key, uint32_t epoch, uint32_t frames, StackId parent) {
    tag_and_frames_.store(tag(key) | frames, std::memory_order_release);
    epoch_.store(epoch, std::memory_order_release);
    parent_.store(parent, std::memory_order_release);
    sequence_.store(sequence_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
  }

 private:
  static constexpr uint64_t kPcMask = (uint64_t{1} << PathFrame::kPcBits) - 1;
  static uint32_t tag(uint64_t key) { return static_cast<uint32_t>(key) & ~uint32_t{kMaxFrames}; }

  struct Frame {
    std::atomic<uint64_t> code;  // module | pc
    std::atomic<uint64_t> place; // rbp slot | step | node
  };
  std::atomic<uint32_t> sequence_;
  std::atomic<uint32_t> epoch_;
  std::atomic<uint32_t> tag_and_frames_;
  std::atomic<StackId> parent_;
  Frame frames_[kMaxFrames];
};
static_assert(sizeof(Path) == 128 && Path::kMaxFrames == 7);

// Valid as zero bytes.
class PathCache {
 public:
  // What foretells a path: pc of malloc's caller; how far from its stack pointer the innermost remembered
  // frame is that may still stand, and the return address that stands at its foot now, its pc if it calls
  // somebody else; the node of the frame outside of it. Never 0.
  static uint64_t key(uint64_t pc, uint64_t distance, uint64_t foot, StackId outer) {
    uint64_t h = (pc + 0x9e3779b97f4a7c15u * distance) * 0xd6e8feb86659fd93u;
    h = (h ^ h >> 32 ^ (foot + (uint64_t{outer} << 24))) * 0xc2b2ae3d27d4eb4fu;
    return (h ^ h >> 32) | 1;
  }
  Path& at(uint64_t key) { return paths_[(key >> (64 - kBits)) & mask()]; }

  void prefetch(uint64_t key) const {
    const char* const path = reinterpret_cast<const char*>(&paths_[(key >> (64 - kBits)) & mask()]);
    __builtin_prefetch(path);
    __builtin_prefetch(path + sizeof(Path) / 2);
  }

  // To be told of each path that is put in. A count or a step lost to another thread is no harm.
  void note_write() {
    const uint32_t written = written_.load(std::memory_order_relaxed) + 1;
    written_.store(written, std::memory_order_relaxed);
    if (written > 4 * mask() && mask() + 1 < kPaths) [[unlikely]] {
      more_mask_.store((mask() + 1) * 4 - 1, std::memory_order_relaxed);
      written_.store(0, std::memory_order_relaxed);
    }
  }

 private:
  static constexpr unsigned kBits = 14;
  static constexpr uint32_t kPaths = 1u << kBits; // 2 MiB
  static constexpr uint32_t kFirstMask = 63;

  uint32_t mask() const { return more_mask_.load(std::memory_order_relaxed) | kFirstMask; }

  std::atomic<uint32_t> written_;
  std::atomic<uint32_t> more_mask_;
  alignas(128) Path paths_[kPaths];
};

} // namespace hl
