// Writing of extended events: see extended_events.h.
#include "emit/extended_events.h"

#include "emit/heap_events.h"

namespace hl {

ExtendedPayload& ExtendedPayload::text(const char* s) {
  uint32_t length = 0;
  if (s != nullptr) {
    while (s[length] != '\0' && bytes_ + 2 + length < kMaxBytes)
      ++length;
  }
  number(length);
  memcpy(data_ + bytes_, s != nullptr ? s : "", length);
  bytes_ += length;
  return *this;
}

void record_extended(ExtendedKind kind, const ExtendedPayload& payload, const EntryRegisters* caller,
                     uint64_t frame, uint64_t ticks) {
  EventWriter w(frame, kMaxExtendedEventBytes + 8);
  if (!w)
    return;
  const StackId stack = caller != nullptr ? capture(w, *caller) : 0;
  alignas(8) uint8_t buffer[kMaxExtendedEventBytes + 8];
  BlockCursor cursor = w.lane().cursor;
  const uint64_t stamp = ticks != 0 ? w.clamp(ticks) : w.stamp_before_call();
  const uint32_t bytes =
      encode_extended_event(buffer, cursor, kind, stamp, stack, payload.data(), payload.bytes());
  if (bytes == 0) {
    w.lose(LossCause::damaged);
    return;
  }
  w.commit(
      [&](uint8_t* to) {
        memcpy(to, buffer, bytes);
        return to + bytes;
      },
      cursor);
}

void record_thread_start(uint64_t frame) {
  ExtendedPayload payload;
  payload.number(t_local.state->tid).number(reinterpret_cast<uintptr_t>(__builtin_thread_pointer()));
  record_extended(ExtendedKind::thread_start, payload, nullptr, frame);
}

void record_exit_event(ExitKind kind, int status, const EntryRegisters* caller, uint64_t frame) {
  ExtendedPayload payload;
  payload.signed_number(status).number(static_cast<uint64_t>(kind));
  record_extended(ExtendedKind::exit, payload, caller, frame);
  g_process.exit_recorded_in = g_process.generation;
}

uint64_t stamp_now() {
  return g_process.phase.load(std::memory_order_relaxed) == Phase::recording ? EventWriter::now(true) : 0;
}

} // namespace hl
