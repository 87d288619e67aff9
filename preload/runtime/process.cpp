// This process's slot in the session, and its replacement in a forked child: see process.h.
#include "runtime/process.h"

#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "emit/block_waiting.h"
#include "emit/event_writer.h"
#include "platform/clock.h"
#include "platform/own_memory.h"
#include "platform/syscalls.h"
#include "runtime/leak_request.h"
#include "runtime/session_loss.h"
#include "runtime/stack_capture.h"
#include "runtime/thread_state.h"

namespace hl {

constinit Process g_process;

namespace {

// A UUID (version 8: our own making) without asking the kernel: distinct by session, image and moment.
void make_uuid(uint8_t (&uuid)[16], const SessionHeader* session, uint32_t generation) {
  struct {
    uint8_t session[16];
    uint64_t ticks, generation, pid;
  } seed{};
  memcpy(seed.session, session->uuid, 16);
  seed.ticks = session->clock == ClockKind::tsc && !g_process.logical_clock.load(std::memory_order_relaxed)
                   ? stamp_unordered()
                   : 0;
  seed.generation = generation;
  seed.pid = sys::process_id();
  const XXH128_hash_t h = XXH3_128bits(&seed, sizeof seed);
  memcpy(uuid, &h.low64, 8);
  memcpy(uuid + 8, &h.high64, 8);
  uuid[6] = static_cast<uint8_t>((uuid[6] & 0x0f) | 0x80);
  uuid[8] = static_cast<uint8_t>((uuid[8] & 0x3f) | 0x80);
}

// Nobody else can tell of a process that has no place in the session.
bool unrecorded(SessionHeader* session) {
  session->unrecorded_processes.fetch_add(1, std::memory_order_relaxed); // relaxed: a statistic
  return false;
}

// Enters the block into the first free place of the process table.
bool publish_slot(SessionProcess* slot, uint32_t block_index) {
  std::atomic<uint32_t>* const table = g_process.view.process_table();
  for (uint32_t i = 0; i < kMaxProcesses; ++i) {
    uint32_t expected = 0;
    if (table[i].load(std::memory_order_relaxed) != 0)
      continue;
    slot->header.process_slot = i;
    // Release: the recorder finds the slot filled.
    if (table[i].compare_exchange_strong(expected, block_index + 1, std::memory_order_release,
                                         std::memory_order_relaxed)) {
      g_process.slot_index = i;
      return true;
    }
  }
  return false;
}

// A forked child's text is its parent's: not written again, for that would copy pages.
void bequeath(const SessionProcess& slot) {
  Inheritance& to = g_process.inheritance;
  memcpy(to.uuid, slot.uuid, sizeof to.uuid);
  to.pid_namespace = slot.pid_namespace;
  to.heap_kind = slot.heap_kind;
  to.module_epoch_source = slot.module_epoch_source;
  to.usable_predictor = slot.usable_predictor;
  if (slot.fork_ticks != 0)
    return;
  to.exe_bytes = slot.exe_bytes;
  to.argv_bytes = slot.argv_bytes;
  to.cwd_bytes = slot.cwd_bytes;
  if (to.text_bytes() > sizeof to.text) // the slot is in memory that others may write to
    to.exe_bytes = to.argv_bytes = to.cwd_bytes = 0;
  memcpy(to.text, slot.text, to.text_bytes());
}

} // namespace

bool borrows_memory() {
  return g_process.slot != nullptr && g_process.slot->pid != sys::process_id() && is_attached_here();
}

uint64_t own_pid_namespace() {
  char text[64];
  const long bytes = sys::raw_syscall(SYS_readlinkat, AT_FDCWD, sys::pointer_arg("/proc/self/ns/pid"),
                                      sys::pointer_arg(text), sizeof text);
  uint64_t inode = 0;
  for (long i = 0; i < bytes; ++i) { // pid:[4026531836]; none if it failed
    if (text[i] >= '0' && text[i] <= '9')
      inode = inode * 10 + static_cast<uint64_t>(text[i] - '0');
  }
  return inode;
}

bool claim_process_slot(const Inheritance* parent, uint32_t parent_slot, uint64_t fork_ticks) {
  SessionHeader* const session = g_process.view.header();
  BlockPool pool = g_process.view.pool();
  const uint32_t index = take_definition_block();
  if (index == kNoBlock)
    return unrecorded(session);
  SessionProcess* const slot = static_cast<SessionProcess*>(g_process.view.block(index));
  if (slot == nullptr) {
    pool.give_back(index, false);
    return unrecorded(session);
  }
  memset(static_cast<void*>(slot), 0, sizeof *slot);
  slot->generation = session->next_process_serial.fetch_add(1, std::memory_order_relaxed) + 1;
  slot->header.process_generation = slot->generation;
  slot->pid = sys::process_id();
  slot->parent_pid = static_cast<uint32_t>(sys::raw_syscall(SYS_getppid));
  slot->parent_slot = parent != nullptr ? parent_slot : 0xffffffffu;
  if (parent != nullptr) {
    memcpy(slot->parent_uuid, parent->uuid, 16);
    // A parent outside of the child's namespace shows as 0: the first process of a namespace that was
    // unshared or entered. Only then /proc is asked; a sandbox may forbid it.
    slot->pid_namespace = slot->parent_pid != 0 ? parent->pid_namespace : own_pid_namespace();
    if (slot->pid_namespace == 0 && slot->parent_pid == 0)
      slot->pid_namespace = kOtherPidNamespace;
    slot->heap_kind = parent->heap_kind;
    slot->module_epoch_source = parent->module_epoch_source;
    slot->usable_predictor = parent->usable_predictor;
    slot->exe_bytes = parent->exe_bytes;
    slot->argv_bytes = parent->argv_bytes;
    slot->cwd_bytes = parent->cwd_bytes;
    memcpy(slot->text, parent->text, parent->text_bytes());
  }
  show_own_memory_in(slot);
  slot->fork_ticks = fork_ticks;
  slot->started = read_clock_pair();
  slot->clock_kind = static_cast<uint8_t>(session->clock);
  make_uuid(slot->uuid, session, slot->generation);
  slot->header.kind.store(static_cast<uint32_t>(BlockKind::process), std::memory_order_release);
  g_process.slot = slot;
  g_process.generation = slot->generation;
  if (!publish_slot(slot, index)) {
    slot->header.kind.store(static_cast<uint32_t>(BlockKind::free), std::memory_order_release);
    pool.give_back(index, false);
    g_process.slot = nullptr;
    show_own_memory_in(nullptr);
    return unrecorded(session);
  }
  return true;
}

void show_recorder(SessionProcess* slot) {
  bequeath(*slot);
  // Release: pairs with the recorder's acquire of the state.
  slot->state.store(static_cast<uint32_t>(ProcessState::running), std::memory_order_release);
  // It sleeps on this word. A process that lives for less than its sleep would else be reaped unseen, and its
  // exit status known to nobody.
  sys::futex_wake(&g_process.view.header()->space_waiters);
}

void adopt_forked_child(uint64_t fork_ticks) {
  uint32_t expected = 0;
  // One thread adopts; others of the child, and handlers nested in this, let their events pass meanwhile.
  if (!g_process.fork_word->compare_exchange_strong(expected, kAdopting, std::memory_order_acquire))
    return;
  show_own_memory_in(nullptr);
  const uint32_t parent_slot = g_process.slot_index;

  if (ThreadState* const t = t_local.state; t != nullptr) {
    // An event that the fork interrupted may still write to its block: not into the parent's.
    for (uint32_t level = 0; level < t->depth && level < kLanes; ++level) {
      if (t->lanes[level].block != nullptr)
        g_process.view.detach_block(t->lanes[level].block_index);
      if (t->lanes[level].opening != 0)
        g_process.view.detach_block(t->lanes[level].opening - 1);
    }
    for (Lane& lane : t->lanes)
      lane = Lane{};
    t->held_floor = 0;
    t->tid = sys::thread_id();
    t->thread_index = 1;
  }
  g_process.several_threads.store(false, std::memory_order_relaxed);
  g_process.waited_ns.store(0, std::memory_order_relaxed);
  g_process.definitions_waited_ns.store(0, std::memory_order_relaxed);
  g_process.dropping.store(false, std::memory_order_relaxed);

  // What is counted until then is counted nowhere: the parent's slot is the parent's.
  g_process.slot = nullptr;
  const bool follow = (g_process.flags & kSessionNoFollow) == 0;
  if (!follow || !claim_process_slot(&g_process.inheritance, parent_slot,
                                     fork_ticks != 0 ? fork_ticks : EventWriter::now(false))) {
    g_process.phase.store(Phase::off, std::memory_order_release);
    return; // the word stays kAdopting: nobody is attached here
  }
  if (t_local.state != nullptr)
    g_process.slot->thread_count.store(1, std::memory_order_relaxed);
  restart_stack_capture();
  if (t_local.state != nullptr)
    forget_walk(*t_local.state);
  g_process.fork_word->store(g_process.generation, std::memory_order_release);
  show_recorder(g_process.slot);
  allow_scanner();
  stop_if_session_lost();
}

} // namespace hl
