// See bus_errors.h. The entries themselves are assembled (platform/entry_x86_64.S): what the kernel calls
// must leave no frame of ours below the program's handler.
#include "boot/bus_errors.h"

#include <atomic>
#include <ucontext.h>

#include "boot/fatal_signals.h"
#include "runtime/process.h"
#include "runtime/session_loss.h"

extern "C" const char hl_bus_entries[]; // kBusEntries of kEntryBytes each

namespace hl {

namespace {

constexpr uintptr_t kEntryBytes = 16;
constexpr uint64_t kTakesDetails = uint64_t{1} << 63; // no address has this bit

std::atomic<bool> g_watched;

// What the program had set where entry i is in the kernel's table. Only ever filled, so that it can be read
// by handlers and vfork children of any moment. [0] stays empty: the default action.
std::atomic<uint64_t> g_behind[kBusEntries];

const void* entry(uint32_t number) {
  return hl_bus_entries + number * kEntryBytes;
}

// kBusEntries: it is none.
uint32_t number_of(const void* address) {
  const uintptr_t offset =
      reinterpret_cast<uintptr_t>(address) - reinterpret_cast<uintptr_t>(&hl_bus_entries[0]);
  return offset % kEntryBytes == 0 && offset / kEntryBytes < kBusEntries
             ? static_cast<uint32_t>(offset / kEntryBytes)
             : kBusEntries;
}

// The program did not ask for the default action after this call, as it did (SA_RESETHAND) after its own.
void put_back_if_reset(uint32_t number) {
  sys::KernelAction present;
  if (sys::signal_action(SIGBUS, nullptr, &present) && present.handler == nullptr &&
      (present.flags & SA_RESETHAND) != 0) {
    present.handler = entry(number);
    sys::signal_action(SIGBUS, &present, nullptr);
  }
}

bool is_fault(const siginfo_t& info) {
  return info.si_code > 0;
}

} // namespace

bool bus_errors_watched() {
  return g_watched.load(std::memory_order_relaxed);
}

const void* default_bus_entry() {
  return entry(0);
}

const void* bus_entry_before(const void* handler, bool takes_details) {
  const uint64_t address = reinterpret_cast<uintptr_t>(handler);
  constexpr uint64_t kFirstPage = 4096; // SIG_DFL, SIG_IGN, SIG_HOLD
  if (address < kFirstPage || (address & kTakesDetails) != 0 || number_of(handler) < kBusEntries)
    return nullptr;
  const uint64_t wanted = address | (takes_details ? kTakesDetails : 0);
  for (uint32_t i = 1; i < kBusEntries; ++i) {
    uint64_t present = 0;
    // Relaxed: a word that is complete in itself, and the kernel's table comes after it.
    if (g_behind[i].compare_exchange_strong(present, wanted, std::memory_order_relaxed) || present == wanted)
      return entry(i);
  }
  return nullptr;
}

ProgramHandler handler_behind(const void* address) {
  const uint32_t number = number_of(address);
  const uint64_t behind = number < kBusEntries ? g_behind[number].load(std::memory_order_relaxed) : 0;
  return {reinterpret_cast<const void*>(behind & ~kTakesDetails), (behind & kTakesDetails) != 0};
}

void watch_bus_errors() {
  sys::KernelAction present;
  if (!sys::signal_action(SIGBUS, nullptr, &present))
    return;
  g_watched.store(true, std::memory_order_relaxed);
  if (present.handler == nullptr) {
    const sys::KernelAction own = own_action(SIGBUS, 0, 0);
    sys::signal_action(SIGBUS, &own, nullptr);
  } else if (const void* const before =
                 bus_entry_before(present.handler, (present.flags & SA_SIGINFO) != 0)) {
    // A constructor that ran before we attached has set it.
    present.handler = before;
    present.flags |= SA_SIGINFO;
    sys::signal_action(SIGBUS, &present, nullptr);
  }
}

void leave_bus_errors() {
  if (!g_watched.exchange(false, std::memory_order_relaxed))
    return;
  sys::KernelAction present;
  if (!sys::signal_action(SIGBUS, nullptr, &present) || number_of(present.handler) == kBusEntries)
    return;
  const ProgramHandler behind = handler_behind(present.handler);
  present.handler = behind.handler;
  if (behind.handler == nullptr)
    present = {};
  else if (!behind.takes_details)
    present.flags &= ~static_cast<unsigned long>(SA_SIGINFO);
  sys::signal_action(SIGBUS, &present, nullptr);
}

} // namespace hl

// Called by the entries. Returns where to go on: the program's handler, or nullptr to return from the signal.
extern "C" [[gnu::visibility("hidden")]] const void* hl_on_bus_error(int signal, siginfo_t* info,
                                                                     void* context, uint32_t number) {
  using namespace hl;
  if (is_fault(*info) && survive_session_loss(info->si_addr)) {
    put_back_if_reset(number);
    return nullptr;
  }
  if (const ProgramHandler behind = handler_behind(entry(number)); behind.handler != nullptr)
    return behind.handler;
  if (is_fault(*info) && g_process.restricted.load(std::memory_order_relaxed)) {
    // A filter may forbid what the usual end takes. A fault that comes while its signal is blocked takes
    // none.
    // Not sigaddset, which a program may define for itself.
    auto* const mask = reinterpret_cast<uint64_t*>(&static_cast<ucontext_t*>(context)->uc_sigmask);
    *mask |= uint64_t{1} << (SIGBUS - 1);
    return nullptr;
  }
  on_fatal_signal(signal, info, context);
  return nullptr;
}
