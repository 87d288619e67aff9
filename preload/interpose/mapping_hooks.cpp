// Hooks on memory mappings: what the process asks of the kernel by libc's functions. The allocator's own
// mappings inside glibc do not pass here; their blocks are known from malloc.
//
// Mappings are stamped as heap blocks are: what gives memory back (munmap) before the real call, what takes
// it after, with the stamp before it as well. Failed calls are not recorded, with one exception: naming a
// mapping (PR_SET_VMA_ANON_NAME) is recorded even where the kernel refuses it, because that is how managed
// runtimes name their heaps.
#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <unistd.h>

#include "boot/fatal_signals.h"
#include "boot/real_functions.h"
#include "emit/extended_events.h"
#include "platform/syscalls.h"
#include "runtime/memory_lock.h"
#include "runtime/process.h"
#include "runtime/stack_capture.h"
#include "unwind/readable_ranges.h"

using namespace hl;

#define HL_BODY extern "C" [[gnu::visibility("hidden")]]

namespace {

constexpr int kSetVma = 0x53564d41; // PR_SET_VMA, missing in old headers
constexpr int kSetVmaAnonymousName = 0;

uint64_t number(const void* p) {
  return reinterpret_cast<uintptr_t>(p);
}

// libc's result from the kernel's, for the moment before the real functions are known.
void* from_kernel(long result) {
  return sys::failed(result) ? MAP_FAILED : reinterpret_cast<void*>(result);
}

void* map(void* real_mmap, void* at, size_t length, int prot, int flags, int fd, off_t offset,
          const EntryRegisters& caller) {
  const uint64_t before = stamp_now();
  void* const p = real_mmap != nullptr
                      ? real_as<void*(void*, size_t, int, int, int, off_t)>(real_mmap)(at, length, prot,
                                                                                       flags, fd, offset)
                      : from_kernel(sys::raw_syscall(SYS_mmap, sys::pointer_arg(at),
                                                     static_cast<long>(length), prot, flags, fd, offset));
  if (p == MAP_FAILED)
    return p;
  if ((flags & MAP_FIXED) != 0)
    note_unmapped();
  if ((prot & PROT_EXEC) != 0)
    note_code_mapped(p, length);
  const uint64_t after = stamp_now();
  ExtendedPayload payload;
  payload.number(number(p))
      .number(length)
      .number(static_cast<unsigned>(prot))
      .number(static_cast<unsigned>(flags));
  payload.signed_number(fd).number(static_cast<uint64_t>(offset)).number(after > before ? after - before : 0);
  record_extended(ExtendedKind::mmap, payload, &caller, caller.rsp, after);
  return p;
}

} // namespace

HL_BODY void* hl_hook_mmap(void* at, size_t length, int prot, int flags, int fd, off_t offset,
                           const EntryRegisters* caller) {
  return map(real(g_real.mmap), at, length, prot, flags, fd, offset, *caller);
}

HL_BODY void* hl_hook_mmap64(void* at, size_t length, int prot, int flags, int fd, off_t offset,
                             const EntryRegisters* caller) {
  return map(real(g_real.mmap64), at, length, prot, flags, fd, offset, *caller);
}

HL_BODY int hl_hook_munmap(void* p, size_t length, const EntryRegisters* caller) {
  void* const function = real(g_real.munmap);
  ExtendedPayload payload;
  payload.number(number(p)).number(length);
  record_extended(ExtendedKind::munmap, payload, caller, caller->rsp);
  note_unmapped();
  return real_as<int(void*, size_t)>(function)(p, length);
}

HL_BODY void* hl_hook_mremap(void* old, size_t old_length, size_t new_length, int flags, void* at,
                             const EntryRegisters* caller) {
  void* const function = real(g_real.mremap);
  const uint64_t before = stamp_now();
  void* const p =
      real_as<void*(void*, size_t, size_t, int, ...)>(function)(old, old_length, new_length, flags, at);
  if (p == MAP_FAILED)
    return p;
  note_unmapped();
  const uint64_t after = stamp_now();
  ExtendedPayload payload;
  payload.number(number(old)).number(old_length).number(number(p)).number(new_length);
  payload.number(static_cast<unsigned>(flags)).number(after > before ? after - before : 0);
  record_extended(ExtendedKind::mremap, payload, caller, caller->rsp, after);
  return p;
}

HL_BODY int hl_hook_brk(void* end, const EntryRegisters* caller) {
  const int result = real_as<int(void*)>(real(g_real.brk))(end);
  if (result == 0) {
    ExtendedPayload payload;
    payload.number(number(end));
    record_extended(ExtendedKind::brk, payload, caller, caller->rsp);
  }
  return result;
}

HL_BODY void* hl_hook_sbrk(intptr_t increment, const EntryRegisters* caller) {
  void* const p = real_as<void*(intptr_t)>(real(g_real.sbrk))(increment);
  if (p != reinterpret_cast<void*>(-1) && increment != 0) {
    ExtendedPayload payload;
    payload.signed_number(increment).number(number(p));
    record_extended(ExtendedKind::sbrk, payload, caller, caller->rsp);
  }
  return p;
}

HL_BODY int hl_hook_madvise(void* p, size_t length, int advice, const EntryRegisters* caller) {
  const int result = real_as<int(void*, size_t, int)>(real(g_real.madvise))(p, length, advice);
  if (result == 0) {
    ExtendedPayload payload;
    payload.number(number(p)).number(length).number(static_cast<unsigned>(advice));
    record_extended(ExtendedKind::madvise, payload, caller, caller->rsp);
  }
  return result;
}

HL_BODY int hl_hook_mprotect(void* p, size_t length, int prot, const EntryRegisters* caller) {
  const int result = real_as<int(void*, size_t, int)>(real(g_real.mprotect))(p, length, prot);
  if (result != 0)
    return result;
  note_unmapped();
  if ((prot & PROT_EXEC) != 0)
    note_code_mapped(p, length);
  ExtendedPayload payload;
  payload.number(number(p)).number(length).number(static_cast<unsigned>(prot));
  record_extended(ExtendedKind::mprotect, payload, caller, caller->rsp);
  return result;
}

// Not recorded: it takes nothing and gives nothing back.
HL_BODY int hl_hook_mlockall(int flags, const EntryRegisters*) {
  const int before = errno;
  const int result = real_as<int(int)>(real(g_real.mlockall))(flags);
  if (g_process.phase.load(std::memory_order_relaxed) != Phase::recording)
    return result;
  if (result == 0) {
    unlock_own(flags);
    return 0;
  }
  if (errno != ENOMEM || (flags & MCL_CURRENT) == 0 || !lock_all_but_own(flags))
    return result;
  errno = before;
  return 0;
}

namespace {

void record_vma_name(unsigned long start, unsigned long length, const char* name, int result,
                     const EntryRegisters& caller) {
  ExtendedPayload payload;
  payload.number(start).number(length).signed_number(result).text(name);
  record_extended(ExtendedKind::vma_name, payload, &caller, caller.rsp);
}

void record_thread_name(uint32_t tid, const char* name, const EntryRegisters& caller) {
  ExtendedPayload payload;
  payload.number(tid).text(name);
  record_extended(ExtendedKind::thread_name, payload, &caller, caller.rsp);
}

} // namespace

HL_BODY int hl_hook_prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d,
                          const EntryRegisters* caller) {
  // From the next event on the counter would fault: order by the shared logical clock instead.
  if ((option == PR_SET_TSC && a == PR_TSC_SIGSEGV) || (option == PR_SET_SECCOMP && a == 1)) {
    g_process.logical_clock.store(true, std::memory_order_seq_cst);
  }
  // What comes next is a filter on system calls; programs that make the call for it by number ask for this
  // first.
  if (option == PR_SET_SECCOMP || option == PR_SET_NO_NEW_PRIVS) {
    // What a vfork child does to itself says nothing of the process whose memory this is.
    if (borrows_memory()) {
      g_process.restricted_borrower.store(sys::process_id(), std::memory_order_relaxed);
    } else {
      g_process.restricted.store(true, std::memory_order_relaxed);
      leave_fatal_signals();
    }
  }
  const int result = real_as<int(int, ...)>(real(g_real.prctl))(option, a, b, c, d);
  if (option == kSetVma && a == kSetVmaAnonymousName) {
    record_vma_name(b, c, reinterpret_cast<const char*>(d), result, *caller);
  } else if (option == PR_SET_NAME && result == 0) {
    record_thread_name(t_local.state != nullptr ? t_local.state->tid : 0, reinterpret_cast<const char*>(a),
                       *caller);
  }
  return result;
}

HL_BODY int hl_hook_pthread_setname_np(pthread_t thread, const char* name, const EntryRegisters* caller) {
  const int result = real_as<int(pthread_t, const char*)>(real(g_real.pthread_setname_np))(thread, name);
  // Another thread's tid is not to be had without its descriptor's layout: 0, with the handle in
  // thread_start.
  if (result == 0) {
    const bool own = reinterpret_cast<void*>(thread) == __builtin_thread_pointer();
    record_thread_name(own && t_local.state != nullptr ? t_local.state->tid : 0, name, *caller);
  }
  return result;
}
