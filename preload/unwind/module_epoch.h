// A number that changes whenever code may have been loaded: what was remembered about a pc holds only within
// one epoch.
//
// It is ld.so's own load counter (dl_load_adds), plus a counter of our own for what ld.so does not see. The
// load counter has no public name, so the constructor looks for it inside `_rtld_global`: the word must equal
// the dlpi_adds that dl_iterate_phdr reports, and dl_iterate_phdr's own code must read from that very offset.
// Hooks on dlopen cannot replace it: glibc loads libraries itself (iconv, NSS), through no hook. Where the
// counter is not found, bump() from hooks is all there is, and `info` says so.
//
// Loading alone is counted: a pc of unloaded code cannot be on a live stack, and new code at its address
// needs either a load (counted) or an executable mapping by other means (the mapping hooks call bump).
#pragma once

#include <atomic>
#include <stddef.h>
#include <stdint.h>

namespace hl {

class ModuleEpoch {
 public:
  // Never 0. Relaxed: code that this thread can reach was loaded by itself, or by a thread that it has since
  // synchronised with, so the counter's new value is visible to it by then.
  uint32_t now() const {
    const volatile uint64_t* counter = load_counter_;
    const uint64_t loads = counter ? *counter : 0;
    return static_cast<uint32_t>(loads + bumps_.load(std::memory_order_relaxed)) | 0x80000000u;
  }
  void bump() { bumps_.fetch_add(1, std::memory_order_relaxed); }

  // In the constructor only (dl_iterate_phdr takes the loader's lock). Addresses of ld.so's `_rtld_global`
  // and of glibc's dl_iterate_phdr itself, not of a PLT entry: from a lookup by name; its code is read and
  // called. True if the counter was found beyond doubt.
  bool find_load_counter(const void* rtld_global, const void* dl_iterate_phdr);

  bool uses_load_counter() const { return load_counter_ != nullptr; }

 private:
  const volatile uint64_t* load_counter_ = nullptr;
  std::atomic<uint32_t> bumps_{0};
};

} // namespace hl
