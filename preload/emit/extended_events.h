// Events that are not about one heap block: mappings, threads, processes, names, marks. See ExtendedKind for
// what each carries. None of them is hot.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "emit/event_writer.h"

namespace hl {

// Collects the fields of one extended event.
class ExtendedPayload {
 public:
  static constexpr uint32_t kMaxBytes = 480;

  ExtendedPayload& number(uint64_t v) {
    if (bytes_ + 10 <= kMaxBytes)
      bytes_ = static_cast<uint32_t>(block_codec::put_leb(data_ + bytes_, v) - data_);
    return *this;
  }
  ExtendedPayload& signed_number(int64_t v) { return number(zigzag(v)); }
  // Length, then as many bytes of the text as fit; nullptr is the empty text.
  ExtendedPayload& text(const char* s);

  const uint8_t* data() const { return data_; }
  uint32_t bytes() const { return bytes_; }

 private:
  uint32_t bytes_ = 0;
  uint8_t data_[kMaxBytes];
};

// Stamped now; `caller` gives the stack, nullptr: without one. `ticks` 0: now, else the stamp to use.
void record_extended(ExtendedKind kind, const ExtendedPayload& payload, const EntryRegisters* caller,
                     uint64_t frame, uint64_t ticks = 0);

// How a process says that it ends; the second number of ExtendedKind::exit.
enum class ExitKind : uint64_t { exit = 0, underscore_exit = 1, quick_exit = 2, abort = 3 };
void record_exit_event(ExitKind kind, int status, const EntryRegisters* caller, uint64_t frame);

// First event of a thread. `frame`: as for EventWriter.
void record_thread_start(uint64_t frame);

// A stamp before a real call whose event is committed after it. 0 when nothing is recorded.
uint64_t stamp_now();

} // namespace hl
