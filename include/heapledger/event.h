// What one recorded event is, after decoding, whatever carried it (a block of the session file or an
// events chunk of a trace). Kinds and their numbers are part of both formats: never renumber, only add.
#pragma once

#include <cstdint>

namespace hl {

// Id of a stack: the innermost node of a path in the stack tree of one process image. 0: no stack known.
using StackId = uint32_t;

// Kinds that carry a block of memory and travel in the short form (four bits on the wire).
enum class EventKind : uint8_t {
  none = 0,
  malloc = 1,  // address, size, stack                (also valloc, pvalloc: see aligned)
  calloc = 2,  // address, size = count * item size, stack
  realloc = 3, // address (new), old_address, size, stack, ticks_before; old_address 0: as malloc
  aligned =
      4,    // address, size, alignment, stack     (memalign, posix_memalign, aligned_alloc, valloc, pvalloc)
  free = 5, // address, [stack]                    (free, cfree, free_sized; realloc(p,0) that frees)
  extended = 7, // see ExtendedKind
};

// Kinds of the length-prefixed long form. A reader skips those it does not know.
// Payload fields in order; all unsigned LEB128 unless said otherwise; `z` is zigzag.
enum class ExtendedKind : uint8_t {
  none = 0,
  mmap = 1,         // address, length, prot, flags, fd(z), offset, ticks_before_delta
  munmap = 2,       // address, length                     (stamped before the real call)
  mremap = 3,       // old_address, old_length, new_address, new_length, flags, ticks_before_delta
  brk = 4,          // new break                           (also sbrk: the break after the call)
  sbrk = 5,         // increment(z), break before the call
  madvise = 6,      // address, length, advice
  mprotect = 7,     // address, length, prot
  vma_name = 8,     // address, length, kernel_result(z), name_bytes, name   (prctl PR_SET_VMA_ANON_NAME)
  thread_start = 9, // tid, pthread handle or 0
  thread_name = 10, // tid, name_bytes, name
  thread_exit = 11, // tid
  fork = 12,        // child pid (as the caller sees it), kind: 0 fork 1 vfork 2 clone 3 posix_spawn
  exec = 13, // path_bytes, path[, errno: why the next image will not find the session file] (stamped before
             // the real call; failed: exec_failed follows)
  exec_failed = 14,  // errno
  exit = 15,         // status, kind: 0 exit 1 _exit 2 quick_exit 3 abort
  mark = 16,         // name_bytes, name                    (user mark: heapledger_mark)
  counter = 17,      // name_bytes, name, value(z)
  lost = 18,         // cause (LossCause), count            (events of this thread not recorded just before)
  tag_push = 19,     // tag id                              (thread-scoped tags; reserved)
  tag_pop = 20,      // (reserved)
  domain_alloc = 21, // domain, address, size               (pools, GPU; reserved)
  domain_free = 22,  // domain, address                     (reserved)
  weight = 23,       // weight of the events that follow (sampling; reserved)
  trim = 24,         // malloc_trim: pad, result
  child_exec = 25,   // errno, path_bytes, path: what a vfork or posix_spawn child becomes will not find the
                   // session file (of a vfork child before the real call; failed: child_exec_failed follows)
  child_exec_failed = 26, // errno
};

// Why an event is not in the trace. Indexes SessionProcess::losses and info's lost.by_cause.
enum class LossCause : uint8_t {
  pool_exhausted = 0, // no block came free within the wait budget, or --on-overload=drop
  no_session = 1,     // the session file could not be mapped or grown
  thread_state = 2,   // no memory for a thread's state
  nested_signal = 3,  // a signal handler found both blocks of its thread busy
  forked_midway = 4,  // fork happened inside the event, in the child
  early_boot = 5,     // before the shim could attach (bootstrap allocations)
  disk_full = 6,      // the recorder could not write the chunk
  damaged = 7,        // found unreadable by recorder or reader
  process_slots = 8,  // the session's process table is full
  count_
};
inline constexpr uint32_t kLossCauses = 16; // room in the formats

// Why a stack walk ended. Indexes SessionProcess::walk_ends; marker nodes carry it too.
enum class WalkEnd : uint8_t {
  outermost = 0,           // regular: undefined return address, or pc 0
  no_rule = 1,             // code without CFI and no usable frame pointer
  bad_cfa = 2,             // the CFA did not move outward
  unreadable = 3,          // the next word lies outside the stack's mapping
  depth_cap = 4,           // the middle of the stack was cut out
  frame_pointer_guess = 5, // walk contains frames found by frame pointer (counted, not an end)
  node_space = 6,          // no room for new nodes: the stack is cut at its outer part
  nested = 7,              // walked without memo by a nested event (counted, not an end)
  count_
};
inline constexpr uint32_t kWalkEnds = 16;

// One decoded event. Sizes in bytes, times in ticks of the trace's clock.
struct Event {
  EventKind kind = EventKind::none;
  ExtendedKind extended_kind = ExtendedKind::none;
  uint16_t flags = 0;        // EventFlags
  uint32_t thread_index = 0; // per-process serial number of the thread, from 1 (tids are re-used)
  StackId stack = 0;
  uint32_t alignment = 0;    // aligned only
  uint64_t ticks = 0;        // alloc: after the real call; free, munmap: before it
  uint64_t ticks_before = 0; // realloc, mremap, mmap: stamp before the real call; otherwise == ticks
  uint64_t address = 0;
  uint64_t old_address = 0;         // realloc
  uint64_t size = 0;                // requested
  uint64_t usable = 0;              // malloc_usable_size, predicted or recorded (see UsablePredictor)
  const uint8_t* payload = nullptr; // extended: bytes after the kind byte; valid until the batch is released
  uint32_t payload_bytes = 0;
};
enum EventFlags : uint16_t {
  kEventNested = 1,        // recorded by a signal handler inside our own code
  kEventReallocFailed = 2, // never set on a recorded realloc today; reserved
};

// How usable size is predicted from requested size; events carry it only where the prediction is wrong.
enum class UsablePredictor : uint8_t {
  requested = 0, // usable == requested
  glibc64 = 1,   // max(24, ((size + 8 + 15) & ~15) - 8): glibc malloc on 64-bit, non-mmapped
};

constexpr uint64_t predict_usable(UsablePredictor p, uint64_t size_bytes) {
  if (p == UsablePredictor::requested)
    return size_bytes;
  const uint64_t chunk = (size_bytes + 8 + 15) & ~uint64_t{15};
  return (chunk < 32 ? 32 : chunk) - 8;
}

constexpr uint64_t zigzag(int64_t v) {
  return (static_cast<uint64_t>(v) << 1) ^ static_cast<uint64_t>(v >> 63);
}
constexpr int64_t unzigzag(uint64_t v) {
  return static_cast<int64_t>(v >> 1) ^ -static_cast<int64_t>(v & 1);
}

} // namespace hl
