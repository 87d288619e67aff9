// Hooks on the beginnings and ends of processes: fork, vfork, exec, exit. Each notes the moment; the heavy
// lifting (a child's own slot, a new image's) is done by runtime/process.cpp and boot/attach.cpp.
#include <errno.h>
#include <spawn.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include "boot/fatal_signals.h"
#include "boot/real_functions.h"
#include "boot/symbol_lookup.h"
#include "emit/extended_events.h"
#include "platform/syscalls.h"
#include "runtime/leak_request.h"
#include "runtime/process.h"

using namespace hl;

#define HL_BODY extern "C" [[gnu::visibility("hidden")]]

namespace {

enum ForkKind : uint64_t { kFork = 0, kVfork = 1, kClone = 2, kSpawn = 3 };

void record_fork(ForkKind kind, pid_t child, const EntryRegisters& caller) {
  ExtendedPayload payload;
  payload.number(static_cast<uint64_t>(child)).number(kind);
  record_extended(ExtendedKind::fork, payload, &caller, caller.rsp);
}

pid_t fork_body(void* function, const EntryRegisters& caller) {
  const uint64_t before = stamp_now();
  const pid_t child = real_as<pid_t()>(function)();
  if (child == 0) {
    // In the child the wipe-on-fork word is 0, unless fork handlers already allocated and adopted it.
    if (g_process.fork_word != nullptr && g_process.fork_word->load(std::memory_order_relaxed) == 0 &&
        g_process.phase.load(std::memory_order_relaxed) == Phase::recording) {
      adopt_forked_child(before);
    }
    if (sys::process_id() == 1)
      leave_fatal_signals();
  } else if (child > 0) {
    record_fork(kFork, child, caller);
  }
  return child;
}

// False in a vfork child, which borrows its parent's memory: its exec or exit is not the parent's.
bool owns_memory() {
  return g_process.slot != nullptr && g_process.slot->pid == sys::process_id();
}

void record_exit(ExitKind kind, int status, const EntryRegisters& caller) {
  if (owns_memory())
    record_exit_event(kind, status, &caller, caller.rsp);
}

// An end after which nothing of ours is called any more.
void record_last_moment(ExitKind kind, int status, const EntryRegisters& caller) {
  record_exit(kind, status, caller);
  sys::KernelAction present;
  // abort raises SIGABRT, where our handler asks.
  if (kind == ExitKind::abort && sys::signal_action(SIGABRT, nullptr, &present) &&
      is_own_handler(present.handler)) {
    return;
  }
  scan_before_end(kind == ExitKind::abort ? ScanCause::abort : ScanCause::exit);
}

// The next image has to open the session file again. After giving up root, or in a chroot, it cannot, and
// nobody would know. 0: it can, or that may not be tried here.
int why_unfindable() {
  if (g_process.restricted.load(std::memory_order_relaxed) ||
      g_process.restricted_borrower.load(std::memory_order_relaxed) == sys::process_id())
    return 0;
  const int fd = sys::open_file(g_process.view.header()->path, O_RDWR);
  if (fd < 0)
    return fd == -EACCES || fd == -EPERM || fd == -ENOENT || fd == -ENOTDIR ? -fd : 0;
  // Capabilities that made it possible are lost at exec by whoever is not root, but for the ambient ones.
  struct stat file = {};
  const long user = sys::raw_syscall(SYS_geteuid);
  constexpr int kDacOverride = 1;
  const bool lost =
      user != 0 && !sys::failed(sys::raw_syscall(SYS_fstat, fd, sys::pointer_arg(&file))) &&
      file.st_uid != static_cast<uid_t>(user) &&
      sys::raw_syscall(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, kDacOverride, 0, 0) != 1;
  sys::close_file(fd);
  return lost ? EACCES : 0;
}

// Of a child that has the parent's memory until its exec, the parent's events tell, as they do of its
// allocations.
void record_child_exec(int error, const char* path, const EntryRegisters& caller) {
  ExtendedPayload payload;
  payload.number(static_cast<uint64_t>(error)).text(path);
  record_extended(ExtendedKind::child_exec, payload, &caller, caller.rsp);
}

short flags_of(const posix_spawnattr_t& attributes) {
  using GetFlags = int(const posix_spawnattr_t*, short*);
  short flags = 0;
  if (auto* const get = reinterpret_cast<GetFlags*>(find_glibc_symbol("posix_spawnattr_getflags").address))
    get(&attributes, &flags);
  return flags;
}

// After posix_spawn: its child has our rights, unless it was to leave those of our executable.
void record_if_unfindable(const char* path, const posix_spawnattr_t* attributes,
                          const EntryRegisters& caller) {
  if (!owns_memory())
    return;
  int error = why_unfindable();
  if (error == 0 && attributes != nullptr && (flags_of(*attributes) & POSIX_SPAWN_RESETIDS) != 0 &&
      !g_process.restricted.load(std::memory_order_relaxed)) {
    // Asks for the real user and group.
    const long result = sys::raw_syscall(SYS_faccessat, AT_FDCWD,
                                         sys::pointer_arg(g_process.view.header()->path), R_OK | W_OK);
    error = result == -EACCES ? EACCES : 0;
  }
  if (error != 0)
    record_child_exec(error, path, caller);
}

// The image is about to be replaced.
class ExecScope {
 public:
  ExecScope(const char* path, const EntryRegisters& caller) : caller_(caller), owner_(owns_memory()) {
    if (!owner_) {
      const int error = borrows_memory() ? why_unfindable() : 0;
      told_of_child_ = error != 0;
      if (told_of_child_)
        record_child_exec(error, path, caller);
      return;
    }
    ExtendedPayload payload;
    payload.text(path);
    if (const int error = why_unfindable(); error != 0)
      payload.number(static_cast<uint64_t>(error));
    record_extended(ExtendedKind::exec, payload, &caller, caller.rsp);
    set_state(ProcessState::execing);
  }
  // The exec failed.
  int failed(int result, int error) {
    if (!owner_ && !told_of_child_)
      return result;
    if (owner_)
      set_state(ProcessState::running);
    ExtendedPayload payload;
    payload.number(static_cast<uint64_t>(error));
    record_extended(owner_ ? ExtendedKind::exec_failed : ExtendedKind::child_exec_failed, payload, nullptr,
                    caller_.rsp);
    return result;
  }

 private:
  void set_state(ProcessState state) {
    g_process.slot->state.store(static_cast<uint32_t>(state), std::memory_order_release);
  }
  const EntryRegisters& caller_;
  bool owner_;
  bool told_of_child_ = false;
};

} // namespace

extern "C" int hl_call_with_words(void* function, const uint64_t* registers, const uint64_t* stack,
                                  size_t count); // entry_x86_64.S

namespace {

// The arguments of the execl family: path, words, null, and `after` words more.
int exec_words(void* function, const uint64_t* registers, const uint64_t* stack, size_t after,
               const EntryRegisters& caller) {
  constexpr size_t kInRegisters = 6;
  size_t words = 1;
  while ((words < kInRegisters ? registers[words] : stack[words - kInRegisters]) != 0)
    ++words;
  words += 1 + after;
  ExecScope scope(reinterpret_cast<const char*>(registers[0]), caller);
  const int result =
      hl_call_with_words(function, registers, stack, words > kInRegisters ? words - kInRegisters : 0);
  return scope.failed(result, errno);
}

} // namespace

HL_BODY pid_t hl_hook_fork(const EntryRegisters* caller) {
  return fork_body(real(g_real.fork), *caller);
}

HL_BODY pid_t hl_hook__Fork(const EntryRegisters* caller) {
  // Before glibc 2.34 there is none, and no program that needs it starts.
  return fork_body(real(g_real._Fork) != nullptr ? g_real._Fork : g_real.fork, *caller);
}

// Called by the vfork stub, which then jumps to what this returns: the child borrows our memory and stack.
HL_BODY void* hl_before_vfork(const EntryRegisters* caller) {
  static void* real_vfork;
  if (real_vfork == nullptr)
    real_vfork = find_next_symbol("vfork").address;
  record_fork(kVfork, 0, *caller);
  return real_vfork;
}

HL_BODY int hl_hook_posix_spawn(pid_t* pid, const char* path, const posix_spawn_file_actions_t* actions,
                                const posix_spawnattr_t* attributes, char* const argv[], char* const envp[],
                                const EntryRegisters* caller) {
  pid_t child = 0;
  const int result =
      real_as<decltype(posix_spawn)>(real(g_real.posix_spawn))(&child, path, actions, attributes, argv, envp);
  if (result == 0) {
    if (pid != nullptr)
      *pid = child;
    record_fork(kSpawn, child, *caller);
    record_if_unfindable(path, attributes, *caller);
  }
  return result;
}

HL_BODY int hl_hook_posix_spawnp(pid_t* pid, const char* file, const posix_spawn_file_actions_t* actions,
                                 const posix_spawnattr_t* attributes, char* const argv[], char* const envp[],
                                 const EntryRegisters* caller) {
  pid_t child = 0;
  const int result = real_as<decltype(posix_spawnp)>(real(g_real.posix_spawnp))(&child, file, actions,
                                                                                attributes, argv, envp);
  if (result == 0) {
    if (pid != nullptr)
      *pid = child;
    record_fork(kSpawn, child, *caller);
    record_if_unfindable(file, attributes, *caller);
  }
  return result;
}

HL_BODY int hl_hook_execve(const char* path, char* const argv[], char* const envp[],
                           const EntryRegisters* caller) {
  ExecScope scope(path, *caller);
  const int result = real_as<decltype(execve)>(real(g_real.execve))(path, argv, envp);
  return scope.failed(result, errno);
}

HL_BODY int hl_hook_execv(const char* path, char* const argv[], const EntryRegisters* caller) {
  ExecScope scope(path, *caller);
  const int result = real_as<decltype(execv)>(real(g_real.execv))(path, argv);
  return scope.failed(result, errno);
}

HL_BODY int hl_hook_execvp(const char* file, char* const argv[], const EntryRegisters* caller) {
  ExecScope scope(file, *caller);
  const int result = real_as<decltype(execvp)>(real(g_real.execvp))(file, argv);
  return scope.failed(result, errno);
}

HL_BODY int hl_hook_execvpe(const char* file, char* const argv[], char* const envp[],
                            const EntryRegisters* caller) {
  ExecScope scope(file, *caller);
  const int result = real_as<decltype(execve)>(real(g_real.execvpe))(file, argv, envp);
  return scope.failed(result, errno);
}

HL_BODY int hl_hook_fexecve(int fd, char* const argv[], char* const envp[], const EntryRegisters* caller) {
  ExecScope scope(nullptr, *caller);
  const int result = real_as<decltype(fexecve)>(real(g_real.fexecve))(fd, argv, envp);
  return scope.failed(result, errno);
}

HL_BODY int hl_hook_execveat(int directory, const char* path, char* const argv[], char* const envp[],
                             int flags, const EntryRegisters* caller) {
  ExecScope scope(path, *caller);
  const int result = real_as<int(int, const char*, char* const[], char* const[], int)>(real(g_real.execveat))(
      directory, path, argv, envp, flags);
  return scope.failed(result, errno);
}

HL_BODY int hl_hook_execl(const uint64_t* registers, const uint64_t* stack, const EntryRegisters* caller) {
  return exec_words(real(g_real.execl), registers, stack, 0, *caller);
}

HL_BODY int hl_hook_execlp(const uint64_t* registers, const uint64_t* stack, const EntryRegisters* caller) {
  return exec_words(real(g_real.execlp), registers, stack, 0, *caller);
}

HL_BODY int hl_hook_execle(const uint64_t* registers, const uint64_t* stack, const EntryRegisters* caller) {
  return exec_words(real(g_real.execle), registers, stack, 1, *caller);
}

HL_BODY void hl_hook_exit(int status, const EntryRegisters* caller) {
  record_exit(ExitKind::exit, status, *caller);
  real_as<void(int)>(real(g_real.exit))(status);
}

HL_BODY void hl_hook__exit(int status, const EntryRegisters* caller) {
  record_last_moment(ExitKind::underscore_exit, status, *caller);
  real_as<void(int)>(real(g_real._exit))(status);
}

HL_BODY void hl_hook__Exit(int status, const EntryRegisters* caller) {
  record_last_moment(ExitKind::underscore_exit, status, *caller);
  real_as<void(int)>(real(g_real._Exit))(status);
}

HL_BODY void hl_hook_quick_exit(int status, const EntryRegisters* caller) {
  record_last_moment(ExitKind::quick_exit, status, *caller);
  real_as<void(int)>(real(g_real.quick_exit))(status);
}

HL_BODY void hl_hook_abort(const EntryRegisters* caller) {
  record_last_moment(ExitKind::abort, 0, *caller);
  real_as<void()>(real(g_real.abort))();
}
