// Lookup of the real functions: see real_functions.h.
#include "boot/real_functions.h"

#include <atomic>

#include "boot/symbol_lookup.h"

namespace hl {

constinit RealFunctions g_real{};
extern "C" {
// NOLINTBEGIN(readability-identifier-naming): the assembler's
#define HL_HOOK(symbol, arguments)
#define HL_HOOK_BESIDE(symbol, arguments, companion) constinit uint8_t hl_aside_##symbol;
#include "interpose/hooks.def"
#undef HL_HOOK_BESIDE
#undef HL_HOOK
constinit uint8_t hl_stands_aside;
// NOLINTEND(readability-identifier-naming)
}

namespace {
constinit std::atomic<bool> g_resolving;

// The loader relocates this library after those that the program needs. One whose IFUNC resolver allocates
// calls us before: then what we import is not there yet (calling it would be a jump to 0), and this word does
// not hold its own address.
void* volatile g_own_address = const_cast<void**>(&g_own_address);

// Another library's, that means something else by this name.
bool is_unrelated(const char* symbol, const char* companion) {
  const FoundSymbol found = find_next_symbol(symbol);
  return found.address != nullptr && !found.in_glibc && found.object != find_next_symbol(companion).object;
}

bool is_relocated() {
  return g_own_address == const_cast<void**>(&g_own_address);
}
} // namespace

void stand_aside() {
#define HL_HOOK(symbol, arguments)
#define HL_HOOK_BESIDE(symbol, arguments, companion) hl_aside_##symbol = 1;
#include "interpose/hooks.def"
#undef HL_HOOK_BESIDE
#undef HL_HOOK
  hl_stands_aside = 1;
}

void resolve_real_functions() {
  if (!is_relocated())
    return;
  if (g_resolving.exchange(true, std::memory_order_acquire))
    return;
  const FoundSymbol next_malloc = find_next_symbol("malloc");
#define HL_HOOK(symbol, arguments) g_real.symbol = find_next_symbol(#symbol).address;
#define HL_HOOK_BESIDE(symbol, arguments, companion)                                                         \
  HL_HOOK(symbol, arguments)                                                                                 \
  hl_aside_##symbol |= is_unrelated(#symbol, #companion);
#include "interpose/hooks.def"
#undef HL_HOOK_BESIDE
#undef HL_HOOK
  g_real.malloc_usable_size = find_next_symbol("malloc_usable_size").address;
  g_real.heap_is_glibc =
      next_malloc.in_libc && find_next_symbol("free").in_libc && find_next_symbol("realloc").in_libc;
  const FoundSymbol own = find_own_symbol("malloc"), first = find_symbol("malloc");
  g_real.own_malloc = own.address;
  if (own.address != nullptr && first.address != own.address)
    g_real.foreign_malloc = first.address;
  // The allocators give themselves away by a function that only they export.
  const struct {
    const char* symbol;
    uint8_t kind;
  } marks[] = {{"mallctl", 2}, {"tc_version", 3}, {"mi_version", 4}};
  if (g_real.foreign_malloc != nullptr) {
    g_real.heap_kind = 5;
    for (const auto& mark : marks) {
      if (find_symbol(mark.symbol).object == first.object)
        g_real.heap_kind = mark.kind;
    }
  } else if (g_real.heap_is_glibc) {
    g_real.heap_kind = 1;
  } else {
    // Of the object whose malloc comes first: another allocator may be linked in and not be used.
    for (const auto& mark : marks) {
      const FoundSymbol found = find_next_symbol(mark.symbol);
      if (found.address != nullptr && found.object == next_malloc.object)
        g_real.heap_kind = mark.kind;
    }
  }
  g_real.ready = true;
}

} // namespace hl
