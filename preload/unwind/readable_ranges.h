// Which addresses around a stack pointer may be read: a walk must never fault, whatever the stack holds.
//
// A thread's cache of a few ranges that were seen readable page by page. A walk reads only inside the range
// that holds its stack pointer, so the hot path pays two compares; a stack pointer elsewhere (alternate
// signal stack, fiber) selects or makes another range. Ranges grow towards what a walk asks for, one probe a
// page, each page once. The probe is a rt_sigprocmask call with an invalid `how`: the kernel copies the set
// from the address first (EFAULT if it cannot), then refuses `how` (EINVAL): no file descriptor, no change of
// state, and a call that every seccomp filter allows. Bounds are found this way because pthread_getattr_np
// allocates and reads /proc, and because fibers have no bounds anybody could ask for.
//
// The first range is the thread's own stack, which stays mapped while the thread runs. The others are dropped
// when memory was unmapped since (note_unmapped), for a fiber's stack may go and a smaller one take its
// place.
//
// A signal handler may leave by longjmp at any instruction here, so a range may be half changed when the next
// walk begins: `in_flux_` says so, and then all are found anew.
#pragma once

#include <atomic>
#include <stdint.h>

namespace hl {

// Bumped by the hooks for munmap, mremap, mprotect and frees of mapped chunks; compared by each thread.
extern std::atomic<uint32_t> g_unmap_generation;
inline void note_unmapped() {
  g_unmap_generation.fetch_add(1, std::memory_order_relaxed);
}

// True if 8 bytes at `address` (aligned to 8) can be read now. One system call; keeps errno.
bool probe_readable(uint64_t address);

class ReadableRanges {
 public:
  static constexpr unsigned kRanges = 4;
  static constexpr uint64_t kPageBytes = 4096;

  uint64_t low() const { return low_[0]; }
  uint64_t high() const { return high_[0]; }
  bool contains(uint64_t address) const { return address - low_[0] < high_[0] - low_[0]; }

  // Makes the current range one that holds `stack_pointer`, which the caller is running on or has recovered.
  // False if even its page cannot be read.
  bool select(uint64_t stack_pointer) {
    if (contains(stack_pointer) && (!current_is_secondary_ || generation_ == generation())) [[likely]]
      return true;
    return select_slowly(stack_pointer);
  }

  // True if [address, address + bytes) can be read; grows the current range upwards if that helps.
  bool ensure(uint64_t address, uint64_t bytes) {
    const uint64_t size = high_[0] - low_[0];
    if (address - low_[0] < size && address - low_[0] + bytes <= size) [[likely]]
      return true;
    return ensure_slowly(address, bytes);
  }

  void clear();

 private:
  static uint32_t generation() { return g_unmap_generation.load(std::memory_order_relaxed); }
  bool select_slowly(uint64_t stack_pointer);
  bool select_in_flux(uint64_t stack_pointer, bool unmapped_since);
  void forget();
  bool ensure_slowly(uint64_t address, uint64_t bytes);
  bool grow_up_to(uint64_t end);
  void swap_with(unsigned i);

  // Entry 0 is the current range. `primary_` is the index of the thread's own stack.
  uint64_t low_[kRanges], high_[kRanges];
  uint32_t generation_;
  uint8_t primary_;
  uint8_t next_victim_;
  bool current_is_secondary_;
  bool has_primary_;
  bool in_flux_; // ranges are being changed: if nobody does so now, a handler has jumped out of it
};

} // namespace hl
