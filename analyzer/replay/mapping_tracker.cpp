// See mapping_tracker.h.
#include "replay/mapping_tracker.h"

#include <algorithm>

namespace hl {
namespace {

constexpr uint64_t kPageMask = 4095;
// User space ends below; larger claims are damage.
constexpr uint64_t kAddressLimit = uint64_t{1} << 57;
constexpr uint64_t up_to_page(uint64_t bytes) {
  return (bytes + kPageMask) & ~kPageMask;
}
constexpr uint64_t kMremapDontUnmap = 4;
constexpr size_t kMaxNames = 65536;

} // namespace

uint32_t MappingTracker::name_index(std::string_view name) {
  if (name.empty())
    return 0;
  const auto [found, is_new] = name_ids_.try_emplace(std::string(name), static_cast<uint32_t>(names_.size()));
  if (is_new) {
    if (names_.size() >= kMaxNames) {
      name_ids_.erase(found);
      return 0;
    }
    names_.push_back({std::string(name), {}});
  }
  return found->second;
}

MappingTracker::Ranges::iterator MappingTracker::split(uint64_t at) {
  auto next = ranges_.lower_bound(at);
  if (next != ranges_.end() && next->first == at)
    return next;
  if (next == ranges_.begin())
    return next;
  auto inside = std::prev(next);
  if (inside->second.end <= at)
    return next;
  const Range tail = inside->second;
  inside->second.end = at;
  return ranges_.emplace_hint(next, at, tail);
}

void MappingTracker::add(uint64_t start, uint64_t length, uint32_t site, uint32_t name, uint64_t ticks) {
  if (length == 0 || start >= kAddressLimit || length > kAddressLimit - start)
    return;
  remove(start, length);
  ranges_[start] = {start + length, site, name};
  totals_.mapped_bytes += length;
  if (totals_.mapped_bytes > totals_.peak_bytes) {
    totals_.peak_bytes = totals_.mapped_bytes;
    totals_.peak_ticks = ticks;
  }
  for (MappingUse* use : {&by_site_[site], &use_of_name(name)}) {
    use->live_bytes += length;
    use->max_live_bytes = std::max(use->max_live_bytes, use->live_bytes);
  }
}

MappingTracker::Range MappingTracker::remove(uint64_t start, uint64_t length) {
  Range first{0, 0, 0};
  if (length == 0 || start >= kAddressLimit || length > kAddressLimit - start)
    return first;
  auto from = split(start);
  const auto to = split(start + length);
  bool found = false;
  // split(start + length) may have inserted behind `from`, or be the very range `from` pointed behind.
  from = ranges_.lower_bound(start);
  while (from != to) {
    const uint64_t bytes = from->second.end - from->first;
    totals_.mapped_bytes -= bytes;
    by_site_[from->second.site].live_bytes -= bytes;
    use_of_name(from->second.name).live_bytes -= bytes;
    if (!found)
      first = from->second;
    found = true;
    from = ranges_.erase(from);
  }
  return first;
}

void MappingTracker::rename(uint64_t start, uint64_t length, uint32_t name, uint32_t site, uint64_t ticks) {
  if (length == 0 || start >= kAddressLimit || length > kAddressLimit - start)
    return;
  split(start);
  split(start + length);
  uint64_t named = 0;
  for (auto range = ranges_.lower_bound(start); range != ranges_.end() && range->first < start + length;
       ++range) {
    const uint64_t bytes = range->second.end - range->first;
    named += bytes;
    use_of_name(range->second.name).live_bytes -= bytes;
    range->second.name = name;
    MappingUse& use = use_of_name(name);
    use.live_bytes += bytes;
    use.max_live_bytes = std::max(use.max_live_bytes, use.live_bytes);
  }
  // Named but never seen mapped: it was mapped by a system call of the program's own (Dart, Go).
  if (named == 0) {
    add(start, length, site, name, ticks);
    by_site_[site].total_bytes += length;
    totals_.total_bytes += length;
  }
}

void MappingTracker::apply(ExtendedKind kind, bool release, const MappingCall& call, uint32_t site,
                           uint64_t ticks) {
  switch (kind) {
  case ExtendedKind::mmap: {
    const uint64_t length = up_to_page(call.length);
    if (release) {
      remove(call.address, length);
      return;
    }
    ++totals_.map_calls;
    totals_.total_bytes += length;
    add(call.address, length, site, 0, ticks);
    MappingUse& use = by_site_[site];
    ++use.calls;
    use.total_bytes += length;
    return;
  }
  case ExtendedKind::munmap:
    ++totals_.unmap_calls;
    remove(call.address, up_to_page(call.length));
    return;
  case ExtendedKind::mremap:
    if (release) {
      moving_ = {0, site, 0};
      if ((call.flags & kMremapDontUnmap) == 0 && call.old_length != 0)
        moving_ = remove(call.old_address, up_to_page(call.old_length));
      return;
    }
    ++totals_.remap_calls;
    add(call.address, up_to_page(call.length), moving_.end != 0 ? moving_.site : site, moving_.name, ticks);
    return;
  case ExtendedKind::vma_name: {
    ++totals_.name_calls;
    if (call.kernel_result != 0)
      ++totals_.names_refused;
    const uint32_t name = name_index(call.name);
    MappingUse& use = use_of_name(name);
    ++use.calls;
    use.total_bytes += up_to_page(call.length);
    rename(call.address, up_to_page(call.length), name, site, ticks);
    return;
  }
  default:
    return;
  }
}

} // namespace hl
