// What supervisor and recorder tell each other, over a SOCK_SEQPACKET pair: one message a packet. Both ends
// live without the other: a recorder without a supervisor goes on by itself, a supervisor whose recorder died
// starts another. Both are the same binary, so the layout needs no version.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>

#include <sys/socket.h>

namespace hl {

enum class ControlKind : uint32_t {
  // supervisor -> recorder
  root_started = 1, // child: pid alone
  root_ended = 2,   // child
  reaped = 3,       // child: an orphan
  // recorder -> supervisor
  ready = 10,  // the session file may be used
  failed = 11, // text: why not
  root_complete =
      12, // the root's trace is closed (good: cleanly), with the figures of the closing lines; text: its path
  finished = 13, // nothing is left to record
  scanning = 14, // the root's last leak scan goes on: it has ended, or (waited_ns) waits for so long to end
  session_lost = 15, // its memory is gone (the disk failed, the file was cut): no recorder can go on
};

// What the kernel tells a process of its child.
struct ChildStatus {
  int32_t pid = 0;
  int32_t status = 0; // of wait()
  uint64_t user_ns = 0, system_ns = 0, peak_rss_bytes = 0;
  uint64_t at_ns = 0; // when that was, CLOCK_MONOTONIC
};

struct ControlMessage {
  ControlKind kind{};
  uint32_t good = 0;
  ChildStatus child;
  uint64_t events = 0, allocations = 0, frees = 0, bytes_requested = 0, lost = 0, lost_disk_full = 0;
  uint64_t trace_bytes = 0, recorder_cpu_ns = 0, recorder_rss_bytes = 0, waits = 0, waited_ns = 0;
  uint32_t processes = 0;       // images recorded so far
  uint32_t still_recording = 0; // of them alive now
  uint32_t oom_kills = 0;
  uint32_t restarts = 0;
  int32_t write_error = 0; // errno of what kept the trace from being written; 0 nothing
  // Of the root's last leak scan; way and failure 0: there was none.
  uint32_t scan_way = 0, scan_failure = 0;
  uint64_t scan_ns = 0; // what it took; the program waited
  uint64_t class_blocks[4] = {}, class_bytes[4] = {};
  char scan_reason[128] = {};
  // Images that could not open the session file, and the executable of the newest.
  uint32_t unrecorded = 0;
  char unrecorded_path[256] = {};
  char text[1024] = {};

  void set_text(const char* s) { std::strncpy(text, s, sizeof(text) - 1); }
};

inline bool send_message(int fd, const ControlMessage& message) {
  return fd >= 0 && send(fd, &message, sizeof(message), MSG_NOSIGNAL | MSG_DONTWAIT) == sizeof(message);
}

// nullopt: nothing there; `closed` says whether the other end is gone.
inline std::optional<ControlMessage> receive_message(int fd, bool& closed) {
  ControlMessage message;
  closed = false;
  if (fd < 0)
    return std::nullopt;
  const ssize_t got = recv(fd, &message, sizeof(message), MSG_DONTWAIT);
  if (got == sizeof(message)) {
    message.text[sizeof(message.text) - 1] = 0;
    message.scan_reason[sizeof(message.scan_reason) - 1] = 0;
    message.unrecorded_path[sizeof(message.unrecorded_path) - 1] = 0;
    return message;
  }
  closed = got == 0;
  return std::nullopt;
}

} // namespace hl
