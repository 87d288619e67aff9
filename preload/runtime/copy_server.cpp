// See copy_server.h. The copy makes bare system calls alone: it is a fork of a program with threads, in which
// any lock may be held for ever. It never returns to the program's code.
#include "runtime/copy_server.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "emit/event_writer.h"
#include "heapledger/copy_window.h"
#include "platform/syscalls.h"
#include "runtime/process.h"
#include "runtime/session_loss.h"

namespace hl {

namespace {

constexpr uint64_t kSliceNs = 100'000'000;
constexpr uint64_t kServedAtOnce = 1024;

// Copies up to `bytes` of a file of /proc, from `offset` on, into the window.
uint64_t serve_file(int window_fd, const char* path, uint64_t offset, uint64_t bytes) {
  const int fd = sys::open_file(path, O_RDONLY);
  if (fd < 0)
    return 0;
  uint8_t buffer[kServedAtOnce]; // the stack may be a signal handler's
  uint64_t done = 0;
  while (done < bytes) {
    const uint64_t want = bytes - done < sizeof buffer ? bytes - done : sizeof buffer;
    const long got = sys::raw_syscall(SYS_pread64, fd, sys::pointer_arg(buffer), static_cast<long>(want),
                                      static_cast<long>(offset + done));
    if (got <= 0 || sys::raw_syscall(SYS_pwrite64, window_fd, sys::pointer_arg(buffer), got,
                                     static_cast<long>(kCopyDataOffset + done)) != got)
      break;
    done += static_cast<uint64_t>(got);
  }
  sys::close_file(fd);
  return done;
}

// The kernel reads the memory: what is not there is a short count.
uint64_t serve_memory(int window_fd, uint64_t address, uint64_t bytes) {
  uint64_t done = 0;
  while (done < bytes) {
    const long got =
        sys::raw_syscall(SYS_pwrite64, window_fd, static_cast<long>(address + done),
                         static_cast<long>(bytes - done), static_cast<long>(kCopyDataOffset + done));
    if (got <= 0)
      break;
    done += static_cast<uint64_t>(got);
  }
  return done;
}

[[noreturn]] void leave() {
  for (;;)
    sys::raw_syscall(SYS_exit_group, 0);
}

[[noreturn]] void serve(CopyWindow* window, int window_fd) {
  // Whoever waits for the end of a pipe or for a lock must not wait for the copy.
  if (window_fd > 0)
    sys::raw_syscall(SYS_close_range, 0, window_fd - 1, 0);
  sys::raw_syscall(SYS_close_range, window_fd + 1, 0xffffffff, 0);
  // Release: everything about the thread that forked is filled in.
  window->ready.store(1, std::memory_order_release);
  sys::futex_wake(&window->ready);
  uint32_t served = 0;
  uint64_t asked_ns = sys::clock_ns(CLOCK_MONOTONIC);
  for (;;) {
    // Acquire: the request is filled in.
    const uint32_t asked = window->asked.load(std::memory_order_acquire);
    if (asked == served) {
      if (sys::clock_ns(CLOCK_MONOTONIC) - asked_ns > kCopyPatienceNs)
        leave();
      sys::futex_wait(&window->asked, asked, kSliceNs);
      continue;
    }
    asked_ns = sys::clock_ns(CLOCK_MONOTONIC);
    const uint64_t bytes = window->bytes < kCopyDataBytes ? window->bytes : kCopyDataBytes;
    uint64_t answered = 0;
    switch (window->kind) {
    case CopyRequest::memory:
      answered = serve_memory(window_fd, window->address, bytes);
      break;
    case CopyRequest::maps:
      answered = serve_file(window_fd, "/proc/self/maps", window->address, bytes);
      break;
    case CopyRequest::pages:
      answered = serve_file(window_fd, "/proc/self/pagemap", window->address * 8, bytes);
      break;
    default:
      leave();
    }
    window->answered_bytes = answered;
    served = asked;
    // Release: the answer is in the file.
    window->answered.store(asked, std::memory_order_release);
    sys::futex_wake(&window->answered);
  }
}

// A child whose end no wait() of the program sees: without a signal at its end it is only for __WCLONE.
constexpr long kWaitForClone = 0x80000000;
long fork_unseen() {
  return sys::raw_syscall(SYS_clone, 0, 0, 0, 0, 0);
}

void fork_copy(CopyWindow* window, int window_fd) {
  window->tid = sys::thread_id();
  window->fork_ticks = g_process.logical_clock.load(std::memory_order_relaxed) ? 0 : EventWriter::now(true);
  uint64_t* const saved = window->saved_registers;
  uint64_t stack_pointer, thread_pointer;
  asm volatile("mov %%rbx, 0(%2)\n mov %%rbp, 8(%2)\n mov %%r12, 16(%2)\n mov %%r13, 24(%2)\n"
               "mov %%r14, 32(%2)\n mov %%r15, 40(%2)\n mov %%rsp, %0\n mov %%fs:0, %1"
               : "=&r"(stack_pointer), "=&r"(thread_pointer)
               : "r"(saved)
               : "memory");
  window->stack_pointer = stack_pointer;
  window->thread_pointer = thread_pointer;
  // Signals for the program are none of the copy's business; there they stay blocked for good.
  const uint64_t all = ~uint64_t{0};
  uint64_t before = 0;
  sys::raw_syscall(SYS_rt_sigprocmask, SIG_BLOCK, sys::pointer_arg(&all), sys::pointer_arg(&before),
                   sizeof all);
  // Forked twice: nobody has to reap the second one.
  const long child = fork_unseen();
  if (child == 0) {
    const long copy = fork_unseen();
    if (copy != 0)
      sys::raw_syscall(SYS_exit_group, copy < 0 ? 1 : 0);
    serve(window, window_fd);
  }
  int status = 1;
  if (child > 0)
    while (sys::raw_syscall(SYS_wait4, child, sys::pointer_arg(&status), kWaitForClone, 0) == -EINTR) {
    }
  sys::raw_syscall(SYS_rt_sigprocmask, SIG_SETMASK, sys::pointer_arg(&before), 0, sizeof before);
  if (child < 0 || status != 0)
    window->failed.store(child < 0 ? static_cast<uint32_t>(-child) : EAGAIN, std::memory_order_release);
}

// Nobody need wait for a copy.
void refuse(int error) {
  g_process.slot->copy_refused.store(static_cast<uint32_t>(error), std::memory_order_relaxed);
  sys::futex_wake(&g_process.view.header()->space_waiters);
}

} // namespace

void fork_copy_if_wanted() {
  SessionProcess* const slot = g_process.slot;
  // Acquire: the file is there. One thread alone forks.
  if (slot->copy_wanted.load(std::memory_order_relaxed) == 0 ||
      slot->copy_wanted.exchange(0, std::memory_order_acquire) == 0)
    return;
  char path[kCopyPathBytes];
  copy_window_path(path, g_process.view.header()->path, slot->uuid);
  const int fd = sys::open_file(path, O_RDWR);
  if (fd < 0)
    return refuse(-fd); // another user by now, or another root directory
  auto* const window = static_cast<CopyWindow*>(sys::map_file(fd, kCopyDataOffset, 0));
  if (window == nullptr) {
    refuse(ENOMEM);
  } else {
    expose_mapping(window, kCopyDataOffset);
    if (window->magic == kCopyMagic && memcmp(window->uuid, slot->uuid, sizeof window->uuid) == 0)
      fork_copy(window, fd);
    else
      refuse(EINVAL);
    expose_mapping(nullptr, 0);
    sys::unmap(window, kCopyDataOffset);
  }
  sys::close_file(fd);
}

} // namespace hl
