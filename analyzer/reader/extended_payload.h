// The payloads of extended events, parsed: one structure a shape, filled by one function that bounds every
// access. Field order and meaning: ExtendedKind in heapledger/event.h.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "heapledger/event.h"

namespace hl {

// mmap, munmap, mremap, brk, sbrk, madvise, mprotect, vma_name. Fields a kind does not have stay 0.
struct MappingCall {
  uint64_t address = 0;     // mremap: the new one; brk: the new break; sbrk: the break before
  uint64_t length = 0;      // mremap: the new one
  uint64_t old_address = 0; // mremap
  uint64_t old_length = 0;  // mremap
  uint64_t protection = 0;
  uint64_t flags = 0;
  int64_t descriptor = -1;
  uint64_t offset = 0;
  uint64_t ticks_before_delta = 0;
  uint64_t advice = 0;
  int64_t increment = 0;     // sbrk
  int64_t kernel_result = 0; // vma_name
  std::string_view name;     // vma_name; points into the payload
};
bool parse_mapping_call(ExtendedKind kind, std::span<const uint8_t> payload, MappingCall& out);

// The rest: a few numbers and a text.
struct ProcessCall {
  uint64_t a = 0, b = 0; // in the order of ExtendedKind's comment, texts left out; `value(z)` of counter: see
                         // signed_value
  int64_t signed_value = 0;
  std::string_view text; // name or path; points into the payload
};
bool parse_process_call(ExtendedKind kind, std::span<const uint8_t> payload, ProcessCall& out);

bool is_mapping_kind(ExtendedKind kind);

// The name of a kind in `dump`, e.g. "mmap"; "" for one we do not know.
std::string_view name_of(EventKind kind);
std::string_view name_of(ExtendedKind kind);
std::string_view name_of(LossCause cause);
std::string_view name_of(WalkEnd end);

// MAP_FIXED on every Linux but Alpha, HP-PA, MIPS and Xtensa (it is 0x10 there, too).
inline constexpr uint64_t kMapFixed = 0x10;
inline constexpr uint64_t kMapAnonymous = 0x20;

} // namespace hl
