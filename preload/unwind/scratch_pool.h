// A few large working buffers shared by the process, for rare paths that must not take much of the
// application's stack (which may be a 16 KiB thread's, or an alternate signal stack).
//
// Taking one is a CAS on a bit. A buffer whose user never returns (a vfork child killed inside, a handler
// left by longjmp) stays taken; when none is left the user falls back to its own stack or does less. The
// memory is .bss: untouched until used.
#pragma once

#include <atomic>
#include <stdint.h>

namespace hl {

template <typename T, unsigned kCount> class ScratchPool {
 public:
  // nullptr when all are in use. The contents are whatever the last user left.
  T* take() {
    for (;;) {
      uint32_t taken = taken_.load(std::memory_order_relaxed);
      if (taken == kAll)
        return nullptr;
      const unsigned i = static_cast<unsigned>(__builtin_ctz(~taken));
      // Acquire: pairs with the release in give(), so the last user's writes do not follow ours.
      if (taken_.compare_exchange_weak(taken, taken | (1u << i), std::memory_order_acquire))
        return reinterpret_cast<T*>(buffers_[i].bytes);
    }
  }
  void give(T* buffer) {
    const auto i = reinterpret_cast<Buffer*>(buffer) - buffers_;
    taken_.fetch_and(~(1u << i), std::memory_order_release);
  }

 private:
  static_assert(kCount < 32);
  static constexpr uint32_t kAll = (1u << kCount) - 1;
  struct Buffer {
    alignas(64) unsigned char bytes[sizeof(T)] = {};
  };
  std::atomic<uint32_t> taken_ = 0;
  Buffer buffers_[kCount] = {};
};

} // namespace hl
