// Android's App Summary (`dumpsys meminfo PACKAGE`), computed from smaps alone by Android's own rules, and
// the words Apple's tools use, from the same numbers: so that what a person saw elsewhere can be compared.
//
// Rules: frameworks/base core/jni/android_os_Debug.cpp (load_maps: which name belongs to which heap) and
// core/java/android/os/Debug.java (getSummary...: which heaps make a row). Graphics lacks what drivers report
// outside smaps (mtrack), as it would on a phone without that interface.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "memory_map/smaps.h"

namespace hl {

enum class AndroidHeap : uint8_t {
  unknown,
  dalvik,
  dalvik_other,
  jit_code, // a part of dalvik_other that counts as code
  native,
  stack,
  cursor,
  ashmem,
  gl,
  other_device,
  so,
  jar,
  apk,
  ttf,
  dex, // .odex, .dex, .vdex
  oat,
  art,
  other_mmap,
};

// `name` without " (deleted)". An unnamed mapping is `unknown`: whether it is a library's .bss, its neighbour
// tells.
AndroidHeap android_heap_of(std::string_view name);

// Bytes. private_other and system may not be negative: what the rows cannot make up stays 0.
struct AppSummary {
  uint64_t java_heap = 0, native_heap = 0, code = 0, stack = 0, graphics = 0, private_other = 0, system = 0;
  uint64_t total_pss = 0; // Pss + SwapPss
};
AppSummary app_summary(std::span<const Vma> vmas);

// dirty + clean = RSS; footprint = dirty + swapped (on Apple's systems: compressed).
struct AppleWords {
  uint64_t dirty = 0, clean = 0, swapped = 0;
  uint64_t footprint() const { return dirty + swapped; }
};
AppleWords apple_words(const VmaNumbers& total);

VmaNumbers total_of(std::span<const Vma> vmas);

} // namespace hl
