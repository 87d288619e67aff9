// The oracle: libunwind, loaded privately, walks the same stack and the two are compared.
//
// Two uses, both off by default. HEAPLEDGER_CHECK_UNWIND=1 compares every walk and counts differences by
// kind.
// `--unwinder=libunwind` takes libunwind's walk instead of ours, for the bench and for platforms without a
// decoder of their own.
//
// The hazard of both: libunwind takes locks (its own, and the loader's through dl_iterate_phdr), so a program
// that allocates inside dl_iterate_phdr's callback, or in a signal handler, may deadlock. Never on by
// default. It is loaded with RTLD_LOCAL from the constructor: linked, its _Unwind_* would take over the
// host's exceptions.
#pragma once

#include <atomic>
#include <stddef.h>
#include <stdint.h>

#include "unwind/walker.h"

namespace hl {

// Indexes SessionProcess::check_differences.
enum class CheckDifference : uint8_t {
  ours_shorter = 0,  // we stopped, libunwind went on
  ours_longer = 1,   // we went on, libunwind stopped regularly
  other_pc = 2,      // both have a frame at this depth, at different addresses
  oracle_failed = 3, // libunwind gave up with an error where we went on
  guessed = 4,       // like one of the above, outside of a frame that we marked as a guess
  count_
};

class UnwindOracle {
 public:
  static constexpr uint32_t kMaxFrames = 512; // compared; outer frames of deeper stacks are not
  static constexpr uint32_t kTextBytes = 2048;

  // In the constructor only. `open` and `symbol` are dlopen and dlsym (this library may not name them: their
  // symbol version is newer than its floor). False if libunwind is not there or lacks a function; then
  // nothing is done.
  bool load(void* (*open)(const char*, int), void* (*symbol)(void*, const char*));
  bool loaded() const { return step_ != nullptr; }

  // libunwind's walk from `entry`: return addresses, innermost (entry.rip) first. `failed`: it ended with an
  // error.
  uint32_t walk(const EntryRegisters& entry, uint64_t* pcs, uint32_t capacity, bool& failed) const;

  // Compares the stack `id`, as captured from `entry`, with libunwind's walk. True if they agree.
  bool compare(const EntryRegisters& entry, const WalkContext& context, StackId id);

  // As capture_stack, by libunwind. Frames have modules and nodes as usual.
  StackId capture(const EntryRegisters& entry, WalkContext& context) const;

  uint64_t compared() const { return compared_.load(std::memory_order_relaxed); }
  uint64_t differences(CheckDifference kind) const {
    return differences_[static_cast<unsigned>(kind)].load(std::memory_order_relaxed);
  }
  uint64_t all_differences() const;
  // The first differences, as lines of text: kind, depth, both pcs, and the frames around. Complete lines
  // only.
  const char* text() const { return text_; }
  uint32_t text_bytes() const { return text_bytes_.load(std::memory_order_acquire); }

 private:
  struct Cursor {
    uint64_t opaque[127];
  };
  void describe(CheckDifference kind, uint32_t at, const uint64_t* ours, uint32_t our_count,
                const uint64_t* theirs, uint32_t their_count);

  int (*init_)(Cursor*, void*) = nullptr;
  int (*step_)(Cursor*) = nullptr;
  int (*get_)(Cursor*, int, uint64_t*) = nullptr;
  int (*is_signal_)(Cursor*) = nullptr;
  std::atomic<uint64_t> compared_{0};
  std::atomic<uint64_t> differences_[static_cast<unsigned>(CheckDifference::count_)] = {};
  std::atomic<uint32_t> text_reserved_{0};
  std::atomic<uint32_t> text_bytes_{0};
  char text_[kTextBytes] = {};
};

} // namespace hl
