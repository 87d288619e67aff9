// What the shim knows of the process it lives in: whether it records, where, and as whom. One instance,
// constant-initialised, valid as zero bytes (phase `unborn`). Changed by attaching (boot/attach.cpp) and in
// a forked child (runtime/fork.cpp); read on the event path.
#pragma once

#include <atomic>
#include <stdint.h>

#include "emit/session_view.h"
#include "heapledger/session_layout.h"
#include "heapledger/trace_format.h"

namespace hl {

enum class Phase : uint32_t {
  unborn = 0,    // nothing has called us yet
  attaching = 1, // one thread is setting up; events of others pass unrecorded
  recording = 2,
  off = 3, // for good: no session, or it could not be mapped
};

// What a forked child takes over of its parent. In this process's own memory, which a child inherits: by the
// time the child looks, the parent may have ended, and its slot in the session have been given to another.
struct Inheritance {
  uint8_t uuid[16]; // of this process's trace
  uint64_t pid_namespace;
  uint8_t heap_kind, module_epoch_source, usable_predictor;
  uint32_t exe_bytes, argv_bytes, cwd_bytes;
  char text[kProcessTextBytes]; // as in SessionProcess
  uint32_t text_bytes() const { return exe_bytes + argv_bytes + cwd_bytes; }
};

struct Process {
  std::atomic<Phase> phase{};
  // In a page that the kernel clears on fork (MADV_WIPEONFORK): `generation` in the process that attached,
  // 0 in a child until it has claimed its own slot, kAdopting while it does.
  std::atomic<uint32_t>* fork_word{};
  SessionView view;
  SessionProcess* slot{};
  uint32_t slot_index{};
  uint32_t generation{};              // SessionProcess::generation of `slot`; never 0 once recording
  uint32_t flags{};                   // SessionFlags
  std::atomic<bool> paused{};         // the program does not want its allocations recorded now
  std::atomic<uint64_t> unrecorded{}; // allocations since then
  uint32_t exit_recorded_in{};        // `generation` of the process that has recorded its exit
  UsablePredictor predictor{};
  std::atomic<bool> several_threads{}; // since a second thread made an event
  std::atomic<bool> logical_clock{};   // the TSC is forbidden
  std::atomic<bool> session_lost{};    // the file is gone from under the mapping: phase is off for good
  std::atomic<bool> restricted{};      // system calls may be forbidden by a filter of the program's own
  std::atomic<uint32_t> restricted_borrower{}; // pid of the vfork child that this is said of; 0: of none yet
  std::atomic<uint32_t> end_scan_of{};     // `generation` of the process whose last leak scan was asked for
  ScanCause end_scan_cause{};              // why it was
  std::atomic<uint64_t> waited_ns{};       // since the pool was last drained; bounded by wait_budget_ns
  std::atomic<uint64_t> waited_until_ns{}; // CLOCK_MONOTONIC up to which waiting has been counted
  std::atomic<uint64_t> definitions_waited_ns{}; // in all; bounded by wait_budget_ns
  std::atomic<bool> dropping{};                  // the budget is spent; drop until the pool has drained
  Inheritance inheritance{};
};

inline constexpr uint32_t kAdopting = 0xffffffff;

extern Process g_process;

// False in a forked child until it has claimed a slot of its own. Only while recording.
inline bool is_attached_here() {
  // Relaxed: nobody but this process, or the kernel when it forks, changes the word.
  return g_process.fork_word->load(std::memory_order_relaxed) == g_process.generation;
}

// True in a vfork child, which has this memory until its exec or exit; false, too, in a forked child that has
// not been noticed yet.
bool borrows_memory();

inline void count_loss(LossCause cause, uint64_t n = 1) {
  if (g_process.slot != nullptr) {
    // Relaxed: a statistic.
    g_process.slot->losses[static_cast<uint32_t>(cause)].fetch_add(n, std::memory_order_relaxed);
  }
}

// The inode of the caller's pid namespace, 0 if /proc does not tell.
uint64_t own_pid_namespace();

// Claims a process slot in the mapped session and fills g_process.slot. `parent`: of the process that this is
// a forked child of, whose slot was `parent_slot`; else null. Returns false when the table or the file is
// full.
bool claim_process_slot(const Inheritance* parent, uint32_t parent_slot, uint64_t fork_ticks);

// The slot is described: from now on the recorder records it, and forked children take over what it says.
void show_recorder(SessionProcess* slot);

// In a forked child, before anything else of ours runs: own slot, no blocks, no memo, new stack tree.
// `fork_ticks` 0: a raw fork noticed late; then the moment is now.
void adopt_forked_child(uint64_t fork_ticks);

} // namespace hl
