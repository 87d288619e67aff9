// Makes a process stand still by ptrace, so that its memory can be read at one moment, and lets it go on
// unharmed.
//
// Every task is seized and interrupted until a look at /proc/PID/task finds no new one. Nothing of the
// program notices: what a stop breaks off is begun anew (see interrupted_call.h), a signal that arrived
// meanwhile is delivered, a program that somebody stopped stays stopped. Threads that cannot be stopped,
// because they sleep where nothing can wake them (a vfork parent, a disk that hangs), stand still anyhow; of
// them only the stack pointer is known.
//
// Tracing belongs to a thread: all calls must come from the thread that made the object. Should that thread
// end without release(), or the scanner be killed, the kernel lets all tasks go; then only interrupted calls
// would return EINTR.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "scan/scan_failed.h"

namespace hl {

// What a thread holds outside memory.
struct ThreadContext {
  uint32_t tid = 0;           // as the scanner sees it
  uint32_t own_tid = 0;       // as the thread sees it
  bool has_registers = false; // false: only stack_pointer is known, or nothing (0)
  uint64_t stack_pointer = 0;
  uint64_t thread_pointer = 0; // fs_base; 0: none, or not known
  std::vector<uint64_t> words; // general registers, then the vector registers' words
};

class StoppedProcess {
 public:
  // Stops it. Throws ScanFailed (refused, gone, too_long); then everything runs as before.
  explicit StoppedProcess(uint32_t pid);
  ~StoppedProcess() { release(); }
  StoppedProcess(const StoppedProcess&) = delete;
  StoppedProcess& operator=(const StoppedProcess&) = delete;

  // Lets those threads go on for a moment, again and again until `is_inside` (of own_tid) holds for none or
  // the time is over. Returns how many are still inside.
  uint32_t run_on(const std::function<bool(uint32_t own_tid)>& is_inside, uint64_t limit_ns);

  // Of all threads, as they stand.
  std::vector<ThreadContext> contexts();
  // Lives still, at least one thread of it.
  bool exists() const;
  // A thread by whose number the process's memory is found: a main thread that ended before the others has
  // none. 0: all have ended.
  uint32_t living_thread() const;

  // Everything goes on. Further calls do nothing.
  void release();

 private:
  enum class TaskState : uint8_t {
    asked,   // seized; its stop has not been seen yet
    stopped, // by us, in group-stop, or about to take `signal`
    frozen,  // sleeps where nothing can wake it
    gone,
  };
  struct Task {
    uint32_t tid;
    uint32_t own_tid;
    TaskState state;
    int signal;      // that it was about to take; 0: none
    bool group_stop; // somebody else stopped it (SIGSTOP): it stays so
  };

  bool seize_new_tasks();
  void wait_for_stops(uint64_t limit_ns);
  // Looks once whether the task has stopped.
  void look_at(Task& task);
  [[noreturn]] void refused(uint32_t tid, int error);
  // The registers of what would return EINTR for no signal's sake are set so that it is called again.
  void begin_anew(const Task& task) const;

  uint32_t pid_;
  std::vector<Task> tasks_;
  bool released_ = false;
};

} // namespace hl
