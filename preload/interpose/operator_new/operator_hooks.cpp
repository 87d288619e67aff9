// operator new and delete in front of an allocator library that brings its own (tcmalloc, jemalloc,
// mimalloc): their blocks never pass through malloc. libheapledger-new.so is preloaded only then.
//
// The real operator is the next definition behind this library. Where that one gets its memory from malloc,
// as libstdc++'s does, malloc's hook sees every block, and the entry stub is told to jump past us. Nothing of
// C++ may be needed here: an exception of the real operator (bad_alloc, whatever a new_handler throws) is
// unwound through our frames by their CFI alone, so no function here may hold anything that a destructor must
// release.
#include <atomic>

#include "boot/real_functions.h"
#include "boot/symbol_lookup.h"
#include "interpose/operator_interface.h"

using namespace hl;

#define HL_BODY extern "C" [[gnu::visibility("hidden")]]

// Where the stub jumps to instead of here.
#define HL_OPERATOR(symbol, arguments, shape)                                                                \
  extern "C" [[gnu::visibility("hidden")]] std::atomic<void*> hl_pass_##symbol;                              \
  constinit std::atomic<void*> hl_pass_##symbol{nullptr};
#include "interpose/operator_new/operators.def"
#undef HL_OPERATOR

namespace {

struct Operator {
  std::atomic<void*> real; // nullptr: not looked up yet
  bool records;
  bool from_heap; // AfterNew
};

#define HL_OPERATOR(symbol, arguments, shape) constinit Operator g_##symbol{};
#include "interpose/operator_new/operators.def"
#undef HL_OPERATOR

// Of libheapledger.so. Set before any Operator::real, never changed.
BeforeNew* g_before_new;
AfterNew* g_after_new;
BeforeDelete* g_before_delete;
AfterDelete* g_after_delete;

bool find_recording() {
  if (g_after_delete != nullptr)
    return true;
  g_before_new = real_as<BeforeNew>(find_symbol("heapledger_private_before_new").address);
  g_after_new = real_as<AfterNew>(find_symbol("heapledger_private_after_new").address);
  g_before_delete = real_as<BeforeDelete>(find_symbol("heapledger_private_before_delete").address);
  if (g_before_new == nullptr || g_after_new == nullptr || g_before_delete == nullptr)
    return false;
  g_after_delete = real_as<AfterDelete>(find_symbol("heapledger_private_after_delete").address);
  return g_after_delete != nullptr;
}

// Two threads may both be here; they store the same.
[[gnu::noinline, gnu::cold]] void* look_up(Operator& o, const char* symbol, std::atomic<void*>& pass) {
  const FoundSymbol found = find_next_symbol(symbol);
  if (found.address == nullptr)
    return nullptr;
  const FoundSymbol heap = find_next_symbol("malloc");
  o.from_heap = heap.address != nullptr && heap.object == found.object;
  // An operator in a library that calls somebody else's malloc is a layer over it.
  o.records = (o.from_heap || !object_imports(found.object, "malloc")) && find_recording();
  if (!o.records)
    pass.store(found.address, std::memory_order_relaxed);
  // Release: pairs with the acquire in real_of(); the flags and the recording functions are visible before.
  o.real.store(found.address, std::memory_order_release);
  return found.address;
}

// nullptr when nothing behind us defines it. Without us the dynamic linker would have refused the program, or
// left its weak reference null.
[[gnu::always_inline]] inline void* real_of(Operator& o, const char* symbol, std::atomic<void*>& pass) {
  void* const real = o.real.load(std::memory_order_acquire);
  return real != nullptr ? real : look_up(o, symbol, pass);
}

template <typename Call>
[[gnu::always_inline]] inline void* allocate(Operator& o, void* real, size_t size, size_t alignment,
                                             const EntryRegisters* caller, Call call) {
  if (real == nullptr)
    return nullptr;
  if (!o.records)
    return call();
  const uint64_t before = g_before_new();
  void* const p = call();
  if (p != nullptr)
    g_after_new(before, p, size, alignment, o.from_heap, caller);
  return p;
}

template <typename Call>
[[gnu::always_inline]] inline void deallocate(Operator& o, void* real, void* p, const EntryRegisters* caller,
                                              Call call) {
  if (real == nullptr)
    return;
  if (!o.records || p == nullptr)
    return call();
  Deletion outer{};
  g_before_delete(p, caller, &outer);
  call();
  g_after_delete(&outer);
}

} // namespace

#define HL_REAL(symbol) real_of(g_##symbol, #symbol, hl_pass_##symbol)

#define HL_NEW(symbol)                                                                                       \
  HL_BODY void* hl_hook_##symbol(size_t size, const EntryRegisters* caller) {                                \
    void* const real = HL_REAL(symbol);                                                                      \
    return allocate(g_##symbol, real, size, 0, caller, [=] { return real_as<void*(size_t)>(real)(size); });  \
  }
#define HL_NEW_NOTHROW(symbol)                                                                               \
  HL_BODY void* hl_hook_##symbol(size_t size, const void* tag, const EntryRegisters* caller) {               \
    void* const real = HL_REAL(symbol);                                                                      \
    return allocate(g_##symbol, real, size, 0, caller,                                                       \
                    [=] { return real_as<void*(size_t, const void*)>(real)(size, tag); });                   \
  }
#define HL_NEW_ALIGNED(symbol)                                                                               \
  HL_BODY void* hl_hook_##symbol(size_t size, size_t alignment, const EntryRegisters* caller) {              \
    void* const real = HL_REAL(symbol);                                                                      \
    return allocate(g_##symbol, real, size, alignment, caller,                                               \
                    [=] { return real_as<void*(size_t, size_t)>(real)(size, alignment); });                  \
  }
#define HL_NEW_ALIGNED_NOTHROW(symbol)                                                                       \
  HL_BODY void* hl_hook_##symbol(size_t size, size_t alignment, const void* tag,                             \
                                 const EntryRegisters* caller) {                                             \
    void* const real = HL_REAL(symbol);                                                                      \
    return allocate(g_##symbol, real, size, alignment, caller, [=] {                                         \
      return real_as<void*(size_t, size_t, const void*)>(real)(size, alignment, tag);                        \
    });                                                                                                      \
  }
#define HL_DELETE(symbol)                                                                                    \
  HL_BODY void hl_hook_##symbol(void* p, const EntryRegisters* caller) {                                     \
    void* const real = HL_REAL(symbol);                                                                      \
    deallocate(g_##symbol, real, p, caller, [=] { real_as<void(void*)>(real)(p); });                         \
  }
// What follows the pointer is a size, an alignment or a tag: a register each, and nothing to us.
#define HL_DELETE_AND_ONE(symbol)                                                                            \
  HL_BODY void hl_hook_##symbol(void* p, size_t second, const EntryRegisters* caller) {                      \
    void* const real = HL_REAL(symbol);                                                                      \
    deallocate(g_##symbol, real, p, caller, [=] { real_as<void(void*, size_t)>(real)(p, second); });         \
  }
#define HL_DELETE_AND_TWO(symbol)                                                                            \
  HL_BODY void hl_hook_##symbol(void* p, size_t second, size_t third, const EntryRegisters* caller) {        \
    void* const real = HL_REAL(symbol);                                                                      \
    deallocate(g_##symbol, real, p, caller,                                                                  \
               [=] { real_as<void(void*, size_t, size_t)>(real)(p, second, third); });                       \
  }

// Looked up while the program has one thread: a lookup takes a lock of the dynamic linker, which an operator
// that is first called much later might find taken by code that it interrupted.
[[gnu::constructor(101)]] static void look_up_all() {
#define HL_OPERATOR(symbol, arguments, shape) HL_REAL(symbol);
#include "interpose/operator_new/operators.def"
#undef HL_OPERATOR
}

#define HL_OPERATOR(symbol, arguments, shape) HL_##shape(symbol)
#include "interpose/operator_new/operators.def"
#undef HL_OPERATOR
