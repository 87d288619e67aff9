// See stopped_process.h.
#include "scan/stopped_process.h"

#include <elf.h>
#include <sched.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "scan/interrupted_call.h"
#include "scan/monotonic_time.h"
#include "scan/process_status.h"

namespace hl {
namespace {

constexpr uint64_t kMs = 1'000'000;
// A task that sleeps uninterruptibly for so long is taken as it is: it cannot return to the program unseen.
constexpr uint64_t kFrozenAfterNs = 300 * kMs;
constexpr uint64_t kStopLimitNs = 10'000 * kMs;
constexpr uint64_t kFirstMomentNs = 50'000, kLongestMomentNs = 2 * kMs;
constexpr uint64_t kUserCodeSegment = 0x33; // of 64-bit code
constexpr uint64_t kSyscallInstructionBytes = 2;
constexpr size_t kXstateRoom = 16384;

void sleep_ns(uint64_t ns) {
  const timespec duration{static_cast<time_t>(ns / 1'000'000'000), static_cast<long>(ns % 1'000'000'000)};
  ::nanosleep(&duration, nullptr);
}

long ask(__ptrace_request request, uint32_t tid, uint64_t argument = 0, uint64_t data = 0) {
  return ::ptrace(request, static_cast<pid_t>(tid), argument, data);
}

bool get_registers(uint32_t tid, user_regs_struct& out) {
  iovec place{&out, sizeof out};
  return ::ptrace(PTRACE_GETREGSET, static_cast<pid_t>(tid), NT_PRSTATUS, &place) == 0 &&
         place.iov_len == sizeof out;
}

// Words of the x87, SSE, AVX... registers, without the control words between them.
void add_vector_registers(uint32_t tid, std::vector<uint64_t>& words) {
  constexpr size_t kLegacyFrom = 32, kLegacyTo = 416, kExtendedFrom = 576;
  alignas(8) uint8_t state[kXstateRoom];
  iovec place{state, sizeof state};
  if (::ptrace(PTRACE_GETREGSET, static_cast<pid_t>(tid), NT_X86_XSTATE, &place) != 0)
    return;
  const auto add = [&](size_t from, size_t to) {
    for (size_t at = from; at + 8 <= std::min(to, place.iov_len); at += 8) {
      uint64_t word;
      std::memcpy(&word, state + at, 8);
      words.push_back(word);
    }
  };
  add(kLegacyFrom, kLegacyTo);
  add(kExtendedFrom, sizeof state);
}

std::string name_of_process(uint32_t pid) {
  std::string name = read_small_file("/proc/" + std::to_string(pid) + "/comm");
  if (!name.empty() && name.back() == '\n')
    name.pop_back();
  return name.empty() ? "?" : name;
}

} // namespace

StoppedProcess::StoppedProcess(uint32_t pid) : pid_(pid) {
  try {
    // A task that is not stopped yet may still start others.
    while (seize_new_tasks())
      wait_for_stops(kStopLimitNs);
    if (tasks_.empty() && ::access("/proc/self/stat", F_OK) != 0)
      throw ScanFailed(ScanFailure::scanner_failed, "there is no /proc here");
    if (tasks_.empty() && ::access(("/proc/" + std::to_string(pid_)).c_str(), F_OK) != 0 &&
        (::kill(static_cast<pid_t>(pid_), 0) == 0 || errno == EPERM))
      throw ScanFailed(ScanFailure::refused, "/proc hides the process from us (it is mounted with hidepid, "
                                             "and the program is not dumpable or has changed its user)");
    if (!exists())
      throw ScanFailed(ScanFailure::gone, "the process ended before it could be stopped");
  } catch (...) {
    release();
    throw;
  }
}

uint32_t StoppedProcess::living_thread() const {
  uint32_t found = 0;
  for (const Task& task : tasks_)
    if (task.state != TaskState::gone && (found == 0 || task.tid == pid_))
      found = task.tid;
  return found;
}

bool StoppedProcess::exists() const {
  return living_thread() != 0;
}

bool StoppedProcess::seize_new_tasks() {
  bool found = false;
  for (const uint32_t tid : tasks_of(pid_)) {
    if (std::any_of(tasks_.begin(), tasks_.end(), [tid](const Task& t) { return t.tid == tid; }))
      continue;
    const std::optional<TaskStatus> status = task_status(pid_, tid);
    if (!status || status->state == 'Z' || status->state == 'X')
      continue; // ended, though others of its process go on
    if (ask(PTRACE_SEIZE, tid) != 0) {
      if (errno == ESRCH)
        continue;
      refused(tid, errno);
    }
    tasks_.push_back({tid, status->own_tid, TaskState::asked, 0, false});
    found = true;
    ask(PTRACE_INTERRUPT, tid); // fails only if it is gone, which waiting notices
  }
  return found;
}

void StoppedProcess::refused(uint32_t tid, int error) {
  const std::optional<TaskStatus> status = task_status(pid_, tid);
  if (!status || status->state == 'Z' || status->state == 'X')
    throw ScanFailed(ScanFailure::gone, "the process ended before it could be stopped");
  if (status->tracer != 0)
    throw ScanFailed(ScanFailure::refused,
                     "the process is already traced by " + name_of_process(status->tracer) + " (process " +
                         std::to_string(status->tracer) + "), and two cannot trace it: end that first");
  std::string reason = std::string("ptrace is not permitted here (") + std::strerror(error) + ")";
  const std::string yama = read_small_file("/proc/sys/kernel/yama/ptrace_scope");
  if (!yama.empty() && yama[0] != '0')
    reason += "; kernel.yama.ptrace_scope is " + std::string(1, yama[0]) +
              (yama[0] == '3'   ? ", which forbids it to all"
               : yama[0] == '2' ? ", which permits it to administrators alone"
                                : ", which permits it below the tracer alone");
  else
    reason += "; containers and sandboxes forbid it unless CAP_SYS_PTRACE is granted, and the kernel does so "
              "for programs that change their user or are not dumpable";
  throw ScanFailed(ScanFailure::refused, reason);
}

void StoppedProcess::look_at(Task& task) {
  int status = 0;
  const pid_t got = ::waitpid(static_cast<pid_t>(task.tid), &status, __WALL | WNOHANG);
  if (got == 0)
    return;
  if (got < 0 || !WIFSTOPPED(status)) {
    task.state = TaskState::gone;
    return;
  }
  task.state = TaskState::stopped;
  const bool by_event = status >> 16 == PTRACE_EVENT_STOP;
  task.group_stop = by_event && WSTOPSIG(status) != SIGTRAP;
  task.signal = by_event ? 0 : WSTOPSIG(status);
}

void StoppedProcess::wait_for_stops(uint64_t limit_ns) {
  const uint64_t began_ns = monotonic_ns();
  for (unsigned round = 0;; ++round) {
    bool waiting = false;
    const uint64_t waited_ns = monotonic_ns() - began_ns;
    for (Task& task : tasks_) {
      if (task.state != TaskState::asked)
        continue;
      look_at(task);
      if (task.state != TaskState::asked)
        continue;
      if (waited_ns > kFrozenAfterNs) {
        const std::optional<TaskStatus> status = task_status(pid_, task.tid);
        if (!status || status->state == 'Z' || status->state == 'X')
          task.state = TaskState::gone;
        else if (status->state == 'D')
          task.state = TaskState::frozen;
      }
      waiting = waiting || task.state == TaskState::asked;
    }
    if (!waiting)
      return;
    if (waited_ns > limit_ns)
      throw ScanFailed(ScanFailure::too_long, "a thread of the process could not be stopped within " +
                                                  std::to_string(limit_ns / kMs / 1000) + " s");
    if (round < 20)
      ::sched_yield();
    else
      sleep_ns(waited_ns < 20 * kMs ? 50'000 : kMs);
  }
}

uint32_t StoppedProcess::run_on(const std::function<bool(uint32_t own_tid)>& is_inside, uint64_t limit_ns) {
  const uint64_t began_ns = monotonic_ns();
  uint64_t moment_ns = kFirstMomentNs;
  while (true) {
    std::vector<Task*> inside;
    for (Task& task : tasks_)
      if (task.state == TaskState::stopped && !task.group_stop && is_inside(task.own_tid))
        inside.push_back(&task);
    if (inside.empty() || monotonic_ns() - began_ns > limit_ns)
      return static_cast<uint32_t>(inside.size());
    uint64_t ran_ns = 0;
    for (Task* task : inside) {
      ran_ns += running_time_ns(pid_, task->tid);
      begin_anew(*task);
      ask(PTRACE_CONT, task->tid, 0, static_cast<uint64_t>(task->signal));
      task->state = TaskState::asked;
      task->signal = 0;
    }
    // Where others want the processors too, a moment may pass before any of them runs.
    uint64_t runs_ns;
    do {
      sleep_ns(moment_ns);
      runs_ns = 0;
      for (const Task* task : inside)
        runs_ns += running_time_ns(pid_, task->tid);
    } while (ran_ns != 0 && runs_ns == ran_ns && monotonic_ns() - began_ns < limit_ns);
    moment_ns = std::min(moment_ns * 2, kLongestMomentNs);
    for (Task* task : inside)
      ask(PTRACE_INTERRUPT, task->tid);
    wait_for_stops(kStopLimitNs);
    while (seize_new_tasks()) // that they started
      wait_for_stops(kStopLimitNs);
  }
}

std::vector<ThreadContext> StoppedProcess::contexts() {
  std::vector<ThreadContext> found;
  for (Task& task : tasks_) {
    if (task.state == TaskState::frozen)
      look_at(task);
    if (task.state == TaskState::gone)
      continue;
    ThreadContext context;
    context.tid = task.tid;
    context.own_tid = task.own_tid;
    user_regs_struct r{};
    if (task.state == TaskState::stopped && get_registers(task.tid, r)) {
      context.has_registers = true;
      context.stack_pointer = r.rsp;
      context.thread_pointer = r.fs_base;
      context.words = {r.rax, r.rbx, r.rcx, r.rdx, r.rsi, r.rdi, r.rbp, r.rsp,
                       r.r8,  r.r9,  r.r10, r.r11, r.r12, r.r13, r.r14, r.r15};
      add_vector_registers(task.tid, context.words);
    } else {
      context.stack_pointer = blocked_stack_pointer(pid_, task.tid);
    }
    found.push_back(std::move(context));
  }
  return found;
}

void StoppedProcess::begin_anew(const Task& task) const {
  if (task.signal != 0 || task.group_stop)
    return;
  user_regs_struct r{};
  if (!get_registers(task.tid, r) || r.cs != kUserCodeSegment || static_cast<int64_t>(r.rax) != -EINTR ||
      static_cast<int64_t>(r.orig_rax) < 0 || !may_be_begun_anew(r.orig_rax))
    return;
  // A handler that is about to run is what EINTR is for.
  const std::optional<TaskStatus> status = task_status(pid_, task.tid);
  if (!status || (status->pending & ~status->blocked & status->caught) != 0)
    return;
  r.rax = r.orig_rax;
  r.orig_rax = ~uint64_t{0};
  r.rip -= kSyscallInstructionBytes;
  iovec place{&r, sizeof r};
  ::ptrace(PTRACE_SETREGSET, static_cast<pid_t>(task.tid), NT_PRSTATUS, &place);
}

void StoppedProcess::release() {
  if (released_)
    return;
  released_ = true;
  for (Task& task : tasks_) {
    if (task.state == TaskState::asked || task.state == TaskState::frozen)
      look_at(task);
    if (task.state != TaskState::stopped)
      continue; // the end of this thread lets it go
    begin_anew(task);
    ask(PTRACE_DETACH, task.tid, 0, static_cast<uint64_t>(task.signal));
  }
}

} // namespace hl
