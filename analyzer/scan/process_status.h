// What /proc says of a process or one of its tasks, in the few words that a scan needs.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace hl {

// The whole of a small file; "" if it cannot be read.
std::string read_small_file(const std::string& path);

struct TaskStatus {
  char state = '?';       // R S D Z X T t I
  uint32_t own_tid = 0;   // innermost number of NSpid
  uint32_t tracer = 0;    // who traces it
  uint32_t file_user = 0; // as whom it opens files
  uint64_t pending = 0;   // signals, of the thread and of its process
  uint64_t blocked = 0;
  uint64_t caught = 0;  // have a handler
  uint64_t ignored = 0; // and sent all the same while it is traced
};
// Empty: there is no such task (any more).
std::optional<TaskStatus> task_status(uint32_t pid, uint32_t tid);

std::vector<uint32_t> tasks_of(uint32_t pid);

// Time that a task has had a processor; 0: the kernel does not tell.
uint64_t running_time_ns(uint32_t pid, uint32_t tid);

// The stack pointer of a task that is blocked in a system call; 0 unknown.
uint64_t blocked_stack_pointer(uint32_t pid, uint32_t tid);

} // namespace hl
