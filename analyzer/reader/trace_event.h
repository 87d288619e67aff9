// One step of a recorded process, as the analyzer passes it on: 48 bytes, so that a batch stays in cache.
//
// A realloc of a block is two steps: the release of the old block, at the moment before the real call, and
// the acquisition of the new one, at the moment after it. Usually they follow each other; where another
// thread's events fall between, they do not, and only so does a block's release always come before the next
// acquisition of its address. The same holds for mremap (release: the old range) and an mmap that may
// replace something (release: the range it covers).
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "heapledger/event.h"

namespace hl {

enum TraceEventFlags : uint8_t {
  kStepRelease = 1, // first half of a realloc, mremap or mmap; the acquisition follows in the same thread
  kStepAfterRelease = 2, // second half
  kStepNested = 4,       // recorded by a signal handler inside our own code
};

struct TraceEvent {
  uint64_t ticks;
  uint64_t address; // extended: see payload_of
  uint64_t size;    // requested; extended: bytes of payload
  uint64_t usable;
  StackId stack; // canonical; 0 unknown
  uint32_t thread_index;
  uint32_t alignment;
  EventKind kind;
  ExtendedKind extended_kind;
  uint8_t flags; // TraceEventFlags
  uint8_t reserved;

  bool is_release() const { return (flags & kStepRelease) != 0; }
  // What must come first among steps of the same moment.
  bool frees() const {
    return kind == EventKind::free || is_release() ||
           (kind == EventKind::extended && extended_kind == ExtendedKind::munmap);
  }
};
static_assert(sizeof(TraceEvent) == 48);

// Steps in the order in which they happened, with the payloads of the extended ones.
struct EventBatch {
  std::vector<TraceEvent> events;
  std::vector<uint8_t> payload;

  void clear() {
    events.clear();
    payload.clear();
  }
  std::span<const uint8_t> payload_of(const TraceEvent& event) const {
    return std::span(payload).subspan(event.address, event.size);
  }
};

} // namespace hl
