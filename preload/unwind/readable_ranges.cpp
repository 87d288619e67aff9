#include "unwind/readable_ranges.h"

#include "platform/syscalls.h"

namespace hl {

constinit std::atomic<uint32_t> g_unmap_generation{0};

namespace {

constexpr int kInvalidHow = 1 << 20;
constexpr long kSignalSetBytes = 8;
// A jump farther than this is no frame of the same stack, whatever the rule says.
constexpr uint64_t kMaxGrowthBytes = uint64_t{64} << 20;
constexpr uint64_t kMaxGrowthDownBytes = uint64_t{1} << 20;

constexpr uint64_t page_of(uint64_t address) {
  return address & ~(ReadableRanges::kPageBytes - 1);
}

} // namespace

bool probe_readable(uint64_t address) {
  // Addresses outside the user half never reach the kernel's copy, but refuse them here all the same.
  if (address < ReadableRanges::kPageBytes || address >= (uint64_t{1} << 47))
    return false;
  return sys::raw_syscall(SYS_rt_sigprocmask, kInvalidHow, static_cast<long>(address & ~uint64_t{7}), 0,
                          kSignalSetBytes) != -14; // -EFAULT
}

// Leaves what says that this is in progress.
void ReadableRanges::forget() {
  for (unsigned i = 0; i < kRanges; ++i)
    low_[i] = high_[i] = 0;
  primary_ = next_victim_ = 0;
  has_primary_ = false;
}

void ReadableRanges::clear() {
  *this = ReadableRanges{};
}

void ReadableRanges::swap_with(unsigned i) {
  const uint64_t low = low_[0], high = high_[0];
  low_[0] = low_[i];
  high_[0] = high_[i];
  low_[i] = low;
  high_[i] = high;
  if (primary_ == 0)
    primary_ = static_cast<uint8_t>(i);
  else if (primary_ == i)
    primary_ = 0;
}

bool ReadableRanges::select_slowly(uint64_t sp) {
  const bool left_half_changed = in_flux_;
  const uint32_t now = generation();
  const bool unmapped_since = generation_ != now;
  // Until all is done, the fast path of select() has to come here.
  in_flux_ = true;
  current_is_secondary_ = true;
  generation_ = ~now;
  asm volatile("" ::: "memory");
  if (left_half_changed)
    forget();
  const bool selected = select_in_flux(sp, unmapped_since);
  asm volatile("" ::: "memory");
  generation_ = now;
  current_is_secondary_ = has_primary_ && primary_ != 0;
  in_flux_ = false;
  return selected;
}

bool ReadableRanges::select_in_flux(uint64_t sp, bool unmapped_since) {
  if (unmapped_since) {
    for (unsigned i = 0; i < kRanges; ++i)
      if (!has_primary_ || i != primary_)
        low_[i] = high_[i] = 0;
  }
  for (unsigned i = 0; i < kRanges; ++i) {
    if (sp - low_[i] >= high_[i] - low_[i])
      continue;
    if (i)
      swap_with(i);
    return true;
  }
  const uint64_t page = page_of(sp);
  // The same stack, grown downwards? Only if every page in between can be read.
  for (unsigned i = 0; i < kRanges; ++i) {
    if (high_[i] == low_[i] || page >= low_[i] || low_[i] - page > kMaxGrowthDownBytes)
      continue;
    uint64_t reached = low_[i];
    while (reached > page && probe_readable(reached - kPageBytes))
      reached -= kPageBytes;
    low_[i] = reached;
    if (reached > page)
      continue;
    if (i)
      swap_with(i);
    return true;
  }
  if (!probe_readable(sp))
    return false;
  unsigned slot = 0;
  if (!has_primary_) {
    has_primary_ = true;
    primary_ = 0;
  } else {
    do {
      slot = next_victim_++ % kRanges;
    } while (slot == primary_);
  }
  low_[slot] = page;
  high_[slot] = page + kPageBytes;
  swap_with(slot);
  return true;
}

bool ReadableRanges::grow_up_to(uint64_t end) {
  if (end < high_[0] || end - high_[0] > kMaxGrowthBytes)
    return false;
  while (high_[0] < end) {
    if (!probe_readable(high_[0]))
      return false;
    high_[0] += kPageBytes;
  }
  return true;
}

bool ReadableRanges::ensure_slowly(uint64_t address, uint64_t bytes) {
  const uint64_t end = address + bytes;
  if (end < address)
    return false;
  if (address >= low_[0] && grow_up_to(end))
    return true;
  // Outside the stack (red zone below its first page, an expression that reads elsewhere): ask for this read
  // alone.
  return probe_readable(address) && probe_readable(end - 1);
}

} // namespace hl
