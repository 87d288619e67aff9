// Attaching: find the session, map it, claim a slot, say who we are. See attach.h.
//
// Runs once, usually inside the very first malloc of the process, when constructors of other libraries, and
// perhaps ours, have not run: so only raw system calls, glibc's dl_iterate_phdr (a recursive lock that a
// thread which is loading libraries already holds) and our own tables. /proc is read here and never again.
#include "boot/attach.h"

#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "boot/bootstrap_heap.h"
#include "boot/bus_errors.h"
#include "boot/environment.h"
#include "boot/launch.h"
#include "boot/real_functions.h"
#include "boot/symbol_lookup.h"
#include "emit/event_writer.h"
#include "heapledger/sanitizers.h"
#include "platform/own_memory.h"
#include "platform/syscalls.h"
#include "runtime/leak_request.h"
#include "runtime/process.h"
#include "runtime/session_loss.h"
#include "runtime/stack_capture.h"
#include "runtime/thread_state.h"

namespace hl {

namespace {

constexpr int kWipeOnFork = 18; // MADV_WIPEONFORK, missing in old headers
constexpr uint32_t kPathBytes = 4096;

// Reads a whole /proc file into `to`; returns the bytes, 0 on failure.
size_t read_proc(const char* path, char* to, size_t room) {
  const int fd = sys::open_file(path, O_RDONLY);
  if (fd < 0)
    return 0;
  size_t bytes = 0;
  while (bytes < room) {
    const long n = sys::read_file(fd, to + bytes, room - bytes);
    if (n <= 0)
      break;
    bytes += static_cast<size_t>(n);
  }
  sys::close_file(fd);
  return bytes;
}

size_t read_link(const char* path, char* to, size_t room) {
  const long n = sys::raw_syscall(SYS_readlinkat, AT_FDCWD, sys::pointer_arg(path), sys::pointer_arg(to),
                                  static_cast<long>(room));
  return sys::failed(n) ? 0 : static_cast<size_t>(n);
}

// The environment as the process was started with: `environ` may not be set up yet.
bool session_path(char* path) {
  if (environ != nullptr) {
    const char* const value = environment_value(kEnvSession);
    if (value == nullptr || *value == '\0' || strlen(value) >= kPathBytes)
      return false;
    strcpy(path, value);
    return true;
  }
  const size_t name_length = sizeof kEnvSession - 1;
  constexpr size_t kEnvironmentBytes = 1 << 20;
  char* const text = static_cast<char*>(sys::map_anonymous(kEnvironmentBytes));
  if (text == nullptr)
    return false;
  const size_t bytes = read_proc("/proc/self/environ", text, kEnvironmentBytes - 1);
  bool found = false;
  for (size_t at = 0; at < bytes && !found; at += strlen(text + at) + 1) {
    const char* const e = text + at;
    if (strncmp(e, kEnvSession, name_length) == 0 && e[name_length] == '=' &&
        strlen(e + name_length + 1) < kPathBytes) {
      strcpy(path, e + name_length + 1);
      found = *path != '\0';
    }
  }
  sys::unmap(text, kEnvironmentBytes);
  return found;
}

// The image that this one continues (exec keeps the pid) or was started from (the parent's), if the tree has
// it.
struct Origin {
  uint32_t generation = 0; // 0: the tree has neither
  uint32_t index = 0;      // of its slot
  bool same_pid = false;
  uint32_t image_number = 0;
  uint64_t pid_namespace = 0;
  uint8_t uuid[16] = {};
};

Origin find_origin(uint64_t own_namespace) {
  Origin origin;
  const uint32_t pid = sys::process_id();
  const uint32_t parent = static_cast<uint32_t>(sys::raw_syscall(SYS_getppid));
  std::atomic<uint32_t>* const table = g_process.view.process_table();
  // Each takes the first free place, so none lies beyond the number of all that ever came; a parent came long
  // ago.
  const uint32_t came = g_process.view.header()->next_process_serial.load(std::memory_order_relaxed);
  for (uint32_t i = 0; i < kMaxProcesses && i < came; ++i) {
    const uint32_t entry = table[i].load(std::memory_order_acquire);
    if (entry == 0 || entry > g_process.view.header()->blocks_available.load(std::memory_order_acquire))
      continue;
    const SessionProcess* const slot = static_cast<const SessionProcess*>(g_process.view.block(entry - 1));
    if (slot == nullptr ||
        slot->header.kind.load(std::memory_order_acquire) != static_cast<uint32_t>(BlockKind::process) ||
        slot->state.load(std::memory_order_relaxed) == static_cast<uint32_t>(ProcessState::drained)) {
      continue;
    }
    const bool same = slot->pid == pid;
    // Without /proc, a chroot's often: it was this one if that is about to call exec and has our parent.
    const bool unknown = known_pid_namespace(own_namespace) == 0;
    if (unknown && same
            ? slot->state.load(std::memory_order_relaxed) != static_cast<uint32_t>(ProcessState::execing) ||
                  slot->parent_pid != parent
            : slot->pid_namespace != own_namespace)
      continue;
    // Pids are re-used: of several candidates the newest image counts; our own pid before the parent's.
    if ((same || slot->pid == parent) &&
        (same > origin.same_pid || (same == origin.same_pid && slot->generation > origin.generation))) {
      Origin candidate{slot->generation, i, same, slot->image_number, slot->pid_namespace, {}};
      memcpy(candidate.uuid, slot->uuid, sizeof candidate.uuid);
      // A parent may end, and its block be given to another, at any moment.
      std::atomic_thread_fence(std::memory_order_acquire);
      if (table[i].load(std::memory_order_relaxed) == entry && slot->generation == candidate.generation)
        origin = candidate;
    }
  }
  return origin;
}

// Without /proc the kernel's word of how the program was started is all there is; relative, it would only be
// true by chance.
size_t started_program(char* to, size_t room) {
  const char* const path = reinterpret_cast<const char*>(auxiliary_value(AT_EXECFN));
  if (path == nullptr || *path != '/')
    return 0;
  const size_t bytes = strnlen(path, room);
  memcpy(to, path, bytes);
  return bytes;
}

void describe_process(SessionProcess* slot, bool with_arguments) {
  const size_t room = sizeof slot->text;
  size_t used = read_link("/proc/self/exe", slot->text, room / 4);
  if (used == 0)
    used = started_program(slot->text, room / 4);
  slot->exe_bytes = static_cast<uint32_t>(used);
  if (with_arguments) {
    const size_t bytes = read_proc("/proc/self/cmdline", slot->text + used, room / 2);
    slot->argv_bytes = static_cast<uint32_t>(bytes);
    used += bytes;
  }
  const long cwd =
      sys::raw_syscall(SYS_getcwd, sys::pointer_arg(slot->text + used), static_cast<long>(room - used));
  slot->cwd_bytes = sys::failed(cwd) || cwd == 0 ? 0 : static_cast<uint32_t>(cwd - 1);
}

bool map_session() {
  // A static buffer: the first malloc of a thread may run on a small stack.
  static char path[kPathBytes];
  if (!session_path(path) && !launch_without_supervisor(path, sizeof path))
    return false;
  const int fd = sys::open_file(path, O_RDWR);
  if (fd < 0)
    return false;
  // Somebody may have cut the file since it was made: not even its first word may be read unguarded.
  watch_bus_errors();
  const bool attached = g_process.view.attach(fd);
  sys::close_file(fd);
  return attached;
}

bool prepare_fork_word() {
  char* const page = static_cast<char*>(sys::map_anonymous(4096));
  if (page == nullptr)
    return false;
  note_own_memory(page, 4096);
  sys::raw_syscall(SYS_madvise, sys::pointer_arg(page), 4096, kWipeOnFork);
  g_process.fork_word = reinterpret_cast<std::atomic<uint32_t>*>(page);
  return true;
}

// The sanitizers of compilers bring an allocator that has to know every block from before there is anything
// else, and functions that may not be called before they are ready. Their programs are left alone.
bool has_sanitizer() {
  for (const SanitizerMark& mark : kSanitizerMarks)
    if (find_symbol(mark.symbol).address != nullptr)
      return true;
  return false;
}

bool try_attach() {
  resolve_real_functions();
  if (!loader_is_glibc() || has_sanitizer()) {
    stand_aside();
    return false;
  }
  if (!map_session() || !prepare_fork_word())
    return false;
  SessionHeader* const session = g_process.view.header();
  g_process.flags = session->flags;
  uint64_t own_namespace = own_pid_namespace();
  // Pid 1, where the session's creator knew its own namespace.
  if (own_namespace == 0 && session->pid_namespace != 0 && sys::raw_syscall(SYS_getppid) == 0)
    own_namespace = kOtherPidNamespace;
  const Origin origin = find_origin(own_namespace);
  // Not to follow means: of all that attach, the first process alone, and what it becomes by exec.
  const bool is_first = session->next_process_serial.load(std::memory_order_relaxed) == 0 || origin.same_pid;
  if ((g_process.flags & kSessionNoFollow) != 0 && !is_first)
    return false;
  if (!claim_process_slot(nullptr, 0, 0))
    return false;
  SessionProcess* const slot = g_process.slot;
  slot->pid_namespace = origin.same_pid ? origin.pid_namespace : own_namespace;
  if (origin.generation != 0) {
    slot->parent_slot = origin.index;
    memcpy(slot->parent_uuid, origin.uuid, 16);
    slot->image_number = origin.same_pid ? origin.image_number + 1 : 0;
  }
  g_process.predictor = g_real.heap_is_glibc ? UsablePredictor::glibc64 : UsablePredictor::requested;
  slot->usable_predictor = static_cast<uint8_t>(g_process.predictor);
  slot->heap_kind = g_real.heap_kind;
  describe_process(slot, (g_process.flags & kSessionPrivateArgv) == 0);
  if (const uint32_t blocks = bootstrap_blocks())
    count_loss(LossCause::early_boot, blocks);
  start_stack_capture();
  prepare_thread_exit();
  g_process.fork_word->store(g_process.generation, std::memory_order_release);
  // The recorder may learn too late who was asked for: such a program, and what it becomes by exec, may be
  // over first.
  uint32_t nobody = 0;
  if (slot->generation == 1 && slot->pid_namespace == session->pid_namespace) {
    session->root_pid.compare_exchange_strong(nobody, slot->pid, std::memory_order_relaxed);
  }
  show_recorder(slot);
  allow_scanner();
  return !stop_if_session_lost();
}

} // namespace

bool attach_now() {
  Phase expected = Phase::unborn;
  if (!g_process.phase.compare_exchange_strong(expected, Phase::attaching, std::memory_order_acq_rel)) {
    return expected == Phase::recording;
  }
  const int saved_errno = errno;
  const bool attached = try_attach();
  if (!attached)
    leave_bus_errors();
  g_process.phase.store(attached ? Phase::recording : Phase::off, std::memory_order_release);
  errno = saved_errno;
  return attached;
}

} // namespace hl
