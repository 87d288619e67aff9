// The compilers' sanitizers that bring an allocator, by a function that their run-time library defines and
// that only they have. Their programs are not recorded: shim and recorder must agree on which those are.
#pragma once

namespace hl {

struct SanitizerMark {
  const char *symbol, *name;
};

inline constexpr SanitizerMark kSanitizerMarks[] = {{"__asan_init", "AddressSanitizer"},
                                                    {"__tsan_init", "ThreadSanitizer"},
                                                    {"__msan_init", "MemorySanitizer"},
                                                    {"__lsan_init", "LeakSanitizer"},
                                                    {"__hwasan_init", "HWAddressSanitizer"}};

} // namespace hl
