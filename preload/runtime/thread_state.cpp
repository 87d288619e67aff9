// Making, re-using and giving back thread states: see thread_state.h.
#include "runtime/thread_state.h"

#include "boot/symbol_lookup.h"
#include "emit/event_writer.h"
#include "platform/own_memory.h"
#include "platform/syscalls.h"
#include "runtime/process.h"
#include "runtime/stack_capture.h"

extern "C" [[gnu::weak]] void* __libc_stack_end; // of ld.so: the upper end of the main thread's stack

namespace hl {

__thread ThreadLocal t_local;

namespace {

// States of ended threads, for the next ones. Slots, not a list: exchange has no ABA problem.
constexpr uint32_t kCacheSlots = 64;
constinit std::atomic<ThreadState*> g_cache[kCacheSlots];

// pthread functions are looked up: their symbol versions moved with glibc 2.34.
using KeyCreate = int(unsigned*, void (*)(void*));
using SetSpecific = int(unsigned, const void*);
SetSpecific* g_set_specific;
unsigned g_exit_key;
bool g_has_exit_key;

// Key destructors run up to PTHREAD_DESTRUCTOR_ITERATIONS (4) rounds, in no order that we choose. We ask for
// another round until the last, so that what other destructors allocate is still recorded in order.
constexpr uintptr_t kExitRounds = 4;

void on_thread_exit(void* round) {
  const uintptr_t rounds_left = reinterpret_cast<uintptr_t>(round);
  if (rounds_left > 1 && g_set_specific(g_exit_key, reinterpret_cast<void*>(rounds_left - 1)) == 0)
    return;
  ThreadState* const t = t_local.state;
  t_local.exited = 1;
  if (t == nullptr)
    return;
  if (t->depth == 0)
    release_thread_state(t);
  else
    t->exiting = 1; // an event below us on this stack: it releases the state when it ends
}

ThreadState* take_cached() {
  for (std::atomic<ThreadState*>& slot : g_cache) {
    if (slot.load(std::memory_order_relaxed) == nullptr)
      continue;
    // Acquire: pairs with the release of the thread that put it there.
    ThreadState* const t = slot.exchange(nullptr, std::memory_order_acquire);
    if (t != nullptr)
      return t;
  }
  return nullptr;
}

void put_in_cache(ThreadState* t) {
  for (std::atomic<ThreadState*>& slot : g_cache) {
    ThreadState* expected = nullptr;
    // Release: pairs with the acquire in take_cached().
    if (slot.compare_exchange_strong(expected, t, std::memory_order_release, std::memory_order_relaxed))
      return;
  }
  sys::unmap(t, sizeof(ThreadState));
}

uint64_t own_stack_high(uint32_t tid) {
  const uint64_t here = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
  if (tid == g_process.slot->pid)
    return reinterpret_cast<uintptr_t>(__libc_stack_end);
  // glibc puts a thread's descriptor at the upper end of its stack, its own or the user's.
  const uint64_t descriptor = reinterpret_cast<uintptr_t>(__builtin_thread_pointer());
  return here < descriptor ? descriptor : 0;
}

} // namespace

void prepare_thread_exit() {
  KeyCreate* const create = reinterpret_cast<KeyCreate*>(find_glibc_symbol("pthread_key_create").address);
  g_set_specific = reinterpret_cast<SetSpecific*>(find_glibc_symbol("pthread_setspecific").address);
  g_has_exit_key = create != nullptr && g_set_specific != nullptr && create(&g_exit_key, on_thread_exit) == 0;
}

// A handler may interrupt this anywhere and make the state itself; or leave by longjmp, so nothing may say
// "in the making". Whoever stores first wins; the other's memory goes back.
ThreadState* make_thread_state() {
  ThreadState* t = take_cached();
  if (t == nullptr) {
    t = static_cast<ThreadState*>(sys::map_anonymous(sizeof(ThreadState)));
    if (t == nullptr)
      return t_local.state;
    note_own_memory(t, sizeof(ThreadState));
  }
  t->tid = sys::thread_id();
  t->stack_high = own_stack_high(t->tid);
  t->exiting = t_local.exited;
  t->thread_index = g_process.slot->thread_count.fetch_add(1, std::memory_order_relaxed) + 1;
  if (t->thread_index > 1) {
    // Relaxed: a thread that meets memory of ours has synchronised with us through the allocator.
    g_process.several_threads.store(true, std::memory_order_relaxed);
    g_process.slot->multi_threaded.store(1, std::memory_order_relaxed);
  }
  ThreadState* present = nullptr;
  if (!__atomic_compare_exchange_n(&t_local.state, &present, t, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    put_in_cache(t);
    return present;
  }
  if (g_has_exit_key && t_local.exited == 0)
    g_set_specific(g_exit_key, reinterpret_cast<void*>(kExitRounds));
  return t;
}

void release_thread_state(ThreadState* t) {
  t_local.state = nullptr;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  for (Lane& lane : t->lanes) {
    seal_lane(lane);
    lane = Lane{};
  }
  forget_walk(*t);
  t->depth = 0;
  t->held_floor = 0;
  t->exiting = 0;
  t->allocations = 0;
  t->last_allocation = 0;
  t->deletion.address = 0;
  put_in_cache(t);
}

} // namespace hl
