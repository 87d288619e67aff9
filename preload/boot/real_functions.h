// The functions that our hooks stand in front of: what the dynamic linker would have bound without us.
// Zero until resolve_real_functions() has run; a hook that finds its entry null asks for it (early boot:
// constructors and IFUNC resolvers of other libraries may call us before our own constructor).
#pragma once

#include <stdint.h>

#include "boot/symbol_lookup.h"

namespace hl {

struct RealFunctions {
#define HL_HOOK(symbol, arguments) void* symbol;
#include "interpose/hooks.def"
#undef HL_HOOK
  void* malloc_usable_size;
  void* own_malloc;     // as another module's reference finds it
  void* foreign_malloc; // one that stands before ours in the order of look-up, so that ours is never called;
                        // or null
  bool ready;           // resolution is over
  bool heap_is_glibc;   // malloc and free are glibc's own: chunk words may be read
  uint8_t heap_kind;    // SessionProcess::heap_kind
};

extern RealFunctions g_real;

// Not 0: the entry stubs jump to the real functions, as if this library were not there: those of the
// functions that have a word of their own (HL_HOOK_BESIDE), and all others. Set before the process has
// threads.
extern "C" {
#define HL_HOOK(symbol, arguments)
#undef HL_HOOK_BESIDE
#define HL_HOOK_BESIDE(symbol, arguments, companion) extern uint8_t hl_aside_##symbol;
#include "interpose/hooks.def"
#undef HL_HOOK_BESIDE
#undef HL_HOOK
extern uint8_t hl_stands_aside;
}
void stand_aside();

// Looks everything up once. Re-entered by allocations of dlsym: those see ready == false and null entries.
void resolve_real_functions();

// The entry of g_real, looked up if nobody has yet; nullptr when the process has no such function.
inline void* real(void* const& entry) {
  if (entry == nullptr && !g_real.ready) [[unlikely]]
    resolve_real_functions();
  return entry;
}

// The same where a library that was loaded later may define it, for the code at `caller`.
inline void* real_for(void* const& entry, const char* symbol, uint64_t caller) {
  void* const found = real(entry);
  return found != nullptr ? found : find_late_symbol(caller, symbol).address;
}

// The real function `symbol`, typed like `F`; nullptr when the process has none.
template <typename F> inline F* real_as(void* entry) {
  return reinterpret_cast<F*>(entry);
}

} // namespace hl
