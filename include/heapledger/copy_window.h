// How a forked copy of a process shows its memory to the leak scanner, where ptrace is refused: a file beside
// the session file (copy_window_path) that the scanner creates; the recorder then says so in the process's
// slot (SessionProcess::copy_wanted). A thread that waits for the scan looks there now and then, and forks;
// the copy runs nothing but the loop that serves this file (preload/runtime/copy_server.cpp). One that cannot
// open it says so (copy_refused).
//
//   0       CopyWindow (one page): words of both sides, mapped by both
//   4 KiB   kCopyDataBytes: what was asked for last. The copy write()s it there straight from the memory
//   asked
//           for, so that an address nobody may read is an error of the call and not the copy's death.
//
// The scanner fills in kind, address and bytes and raises `asked` (release); the copy answers, stores
// `answered_bytes` and raises `answered` to the same number (release). Both words are futexes. A copy whose
// scanner has not asked for kCopyPatienceNs ends itself; one that cannot serve stores `failed`.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "heapledger/session_layout.h"

namespace hl {

inline constexpr uint64_t kCopyMagic = 0x3159504f434c48u; // "HLCOPY1"
inline constexpr uint64_t kCopyDataOffset = 4096;
inline constexpr uint64_t kCopyDataBytes = 4u << 20;
inline constexpr uint64_t kCopyPatienceNs = 20'000'000'000;

enum class CopyRequest : uint32_t {
  none = 0,
  memory = 1, // [address, address + bytes)
  maps = 2,   // text of /proc/self/maps from byte `address` on; fewer bytes than asked for: that was all
  pages = 3,  // entries of /proc/self/pagemap from page `address` on
  end = 4,
};

struct CopyWindow {
  uint64_t magic;
  uint8_t uuid[16];             // of the trace of the process that is wanted
  uint64_t fork_ticks;          // when it forked; 0: the clock does not tell
  std::atomic<uint32_t> ready;  // 1: the copy serves (release); what follows it is filled in
  std::atomic<uint32_t> failed; // errno of what the copy could not do
  uint32_t tid;                 // of the thread that forked, as it sees itself
  uint32_t reserved;
  uint64_t stack_pointer; // of that thread when it forked
  uint64_t thread_pointer;
  uint64_t saved_registers[6];    // rbx, rbp, r12 - r15: what a caller may still keep there
  std::atomic<uint32_t> asked;    // serial number of the newest request
  std::atomic<uint32_t> answered; // of the newest answer
  CopyRequest kind;
  uint32_t reserved2;
  uint64_t address, bytes;
  uint64_t answered_bytes; // from the start; fewer than asked for: the rest cannot be read
};
static_assert(sizeof(CopyWindow) <= kCopyDataOffset);

inline constexpr size_t kCopyPathBytes = sizeof(SessionHeader::path) + 40;

// "SESSION.copy-UUID", NUL-terminated: several processes may be scanned at once.
inline void copy_window_path(char (&path)[kCopyPathBytes], const char* session_path, const uint8_t* uuid) {
  constexpr char kSuffix[] = ".copy-", kDigits[] = "0123456789abcdef";
  size_t at = 0;
  for (; at + 1 < sizeof(SessionHeader::path) && session_path[at] != '\0'; ++at)
    path[at] = session_path[at];
  for (const char* c = kSuffix; *c != '\0'; ++c)
    path[at++] = *c;
  for (size_t i = 0; i < sizeof(CopyWindow::uuid); ++i) {
    path[at++] = kDigits[uuid[i] >> 4];
    path[at++] = kDigits[uuid[i] & 15];
  }
  path[at] = '\0';
}

} // namespace hl
