// What passes by while events are drained: cheap counts for the closing lines and for the trace's summaries,
// and the few events the recorder itself acts on (exits, forks, marks, names of threads). Not a replay: it
// knows no blocks.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "heapledger/block_events.h"
#include "heapledger/event.h"

namespace hl {

struct ThreadTally {
  uint32_t tid = 0;
  uint64_t first_ticks = ~uint64_t{0}, last_ticks = 0, events = 0;
};

class Tally {
 public:
  // Without branches on the kind: which comes next is what nobody can predict.
  void count(const Event& e) {
    if (e.kind == EventKind::extended) [[unlikely]]
      return extended(e);
    const unsigned kind = static_cast<unsigned>(e.kind);
    const uint64_t allocates = (kAllocates >> kind) & 1;
    allocations += allocates;
    bytes_requested += e.size; // 0 for a free
    frees += (kind == static_cast<unsigned>(EventKind::free)) | (e.old_address != 0);
  }

  void count(const PlainEvent& e) {
    const uint64_t is_free = e.kind == EventKind::free;
    allocations += 1 - is_free;
    bytes_requested += e.size;
    frees += is_free;
  }

  uint64_t events = 0, allocations = 0, frees = 0, bytes_requested = 0;
  bool maps_changed = false; // since the caller last cleared it
  bool exit_seen = false;
  int32_t exit_status = 0;
  uint32_t exit_kind = 0;       // see ExtendedKind::exit
  std::string mark;             // the newest, since the caller last cleared mark_ticks
  std::string sampled_mark;     // whose sample somebody waits for or has got; the caller's note
  uint64_t mark_ticks = 0;      // 0: there was none
  std::vector<uint32_t> forked; // child pids since the caller last cleared it
  // What it is about to become by exec, where that cannot open the session file: why (errno; 0: it can) and
  // what.
  int unrecorded_errno = 0;
  std::string unrecorded_path;
  // The same of what vfork and posix_spawn children became: how many, the newest, and the one before that,
  // which counts again if the exec fails.
  struct Unrecorded {
    int error = 0;
    std::string path;
  };
  uint32_t unrecorded_children = 0;
  Unrecorded unrecorded_child, unrecorded_child_before;
  std::unordered_map<uint32_t, std::string> names; // by tid

 private:
  static constexpr unsigned kAllocates =
      1u << static_cast<unsigned>(EventKind::malloc) | 1u << static_cast<unsigned>(EventKind::calloc) |
      1u << static_cast<unsigned>(EventKind::realloc) | 1u << static_cast<unsigned>(EventKind::aligned);

  void extended(const Event& e) {
    const uint8_t* p = e.payload;
    const uint8_t* const end = p + e.payload_bytes;
    const auto get = [&p, end] {
      uint64_t v = 0;
      if (p != nullptr)
        p = block_codec::get_leb(p, end, &v);
      return v;
    };
    switch (e.extended_kind) {
    case ExtendedKind::mmap:
    case ExtendedKind::munmap:
    case ExtendedKind::mremap:
      maps_changed = true;
      break;
    case ExtendedKind::fork:
      if (const uint64_t pid = get(); p != nullptr && pid != 0 && forked.size() < 4096)
        forked.push_back(static_cast<uint32_t>(pid));
      break;
    case ExtendedKind::exec: {
      const uint64_t bytes = get();
      if (p == nullptr || bytes > static_cast<uint64_t>(end - p))
        break;
      unrecorded_path.assign(reinterpret_cast<const char*>(p), bytes);
      p += bytes;
      const uint64_t error = p < end ? get() : 0;
      unrecorded_errno = p != nullptr && error < 4096 ? static_cast<int>(error) : 0;
      break;
    }
    case ExtendedKind::exec_failed:
      unrecorded_errno = 0;
      break;
    case ExtendedKind::child_exec: {
      const uint64_t error = get(), bytes = get();
      if (p == nullptr || error == 0 || error >= 4096 || bytes > static_cast<uint64_t>(end - p))
        break;
      unrecorded_child_before = std::move(unrecorded_child);
      unrecorded_child = {static_cast<int>(error), std::string(reinterpret_cast<const char*>(p), bytes)};
      unrecorded_children++;
      break;
    }
    case ExtendedKind::child_exec_failed:
      if (unrecorded_children == 0)
        break;
      unrecorded_children--;
      unrecorded_child = unrecorded_children == 0 ? Unrecorded{} : std::move(unrecorded_child_before);
      unrecorded_child_before = unrecorded_child;
      break;
    case ExtendedKind::exit:
      exit_status = static_cast<int32_t>(unzigzag(get()));
      exit_kind = static_cast<uint32_t>(get());
      exit_seen = p != nullptr;
      break;
    case ExtendedKind::mark: {
      const uint64_t bytes = get();
      if (p != nullptr && bytes <= static_cast<uint64_t>(end - p)) {
        mark.assign(reinterpret_cast<const char*>(p), bytes);
        mark_ticks = e.ticks;
      }
      break;
    }
    case ExtendedKind::thread_name: {
      const uint32_t tid = static_cast<uint32_t>(get());
      const uint64_t bytes = get();
      if (p != nullptr && bytes <= static_cast<uint64_t>(end - p) && bytes <= 64 && names.size() < 65536)
        names[tid].assign(reinterpret_cast<const char*>(p), bytes);
      break;
    }
    default:
      break;
    }
  }
};

} // namespace hl
