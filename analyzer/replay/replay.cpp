// See replay.h.
#include "replay/replay.h"

#include <algorithm>
#include <bit>

namespace hl {
namespace {

// A step is looked at this many steps before its turn: its entry of the live table, its site.
constexpr size_t kAhead = 12;

unsigned size_class_of(uint64_t size) {
  return static_cast<unsigned>(std::bit_width(size <= 1 ? 0 : size - 1));
}

} // namespace

Replay::Replay(ReplayLimits limits, uint64_t start_ticks, ReplayOptions options) : limits_(limits) {
  result_.sites.resize(1);
  result_.site_stacks.resize(1, 0);
  result_.timeline_start_ticks = start_ticks;
  result_.timeline_bin_ticks = 1u << 16;
  timeline_end_ticks_ = start_ticks + result_.timeline_bin_ticks;
  stops_ = std::move(options.stops);
  at_stop_ = std::move(options.at_stop);
  if (options.ghosts)
    ghosts_ = std::make_unique<GhostTable>();
  if (options.used_pages)
    used_pages_ = std::make_unique<UsedPages>();
  remembers_freed_ = options.ghosts || options.used_pages;
  if (options.wants_history())
    history_ = std::make_unique<HeapHistory>(std::move(options));
}

uint32_t Replay::site_of(StackId stack) {
  if (stack == 0)
    return 0;
  if (stack >= site_of_stack_.size())
    site_of_stack_.resize(std::max<size_t>(stack + 1, site_of_stack_.size() * 2));
  uint32_t& site = site_of_stack_[stack];
  if (site == 0) {
    site = static_cast<uint32_t>(result_.sites.size());
    result_.sites.emplace_back().epoch = epoch_; // nothing of it was live at the peak
    result_.site_stacks.push_back(stack);
  }
  return site;
}

ThreadTotals& Replay::thread(uint32_t index) {
  if (index >= kMaxThreads)
    index = 0;
  if (index >= result_.threads.size()) {
    ThreadTotals fresh;
    fresh.epoch = epoch_;
    result_.threads.resize(index + 1, fresh);
  }
  return result_.threads[index];
}

void Replay::count_lifetime(const LiveBlock& block, uint64_t ticks) {
  const uint64_t lived = ticks > block.birth_ticks ? ticks - block.birth_ticks : 0;
  ++result_.lifetimes[std::min<int>(63, static_cast<int>(std::bit_width(lived)))];
  result_.sites[block.site].lifetime_ticks += static_cast<double>(lived);
}

void Replay::chain_ended(const LiveBlock& block) {
  ++result_.chains;
  ++result_.chain_lengths[std::bit_width(static_cast<uint32_t>(block.chain))];
  if (block.chain > result_.longest_chain) {
    result_.longest_chain = block.chain;
    result_.longest_chain_site = block.site;
  }
}

// Takes a block out of all totals (not out of the table).
void Replay::close_block(const LiveBlock& block) {
  SiteTotals& site = result_.sites[block.site];
  settle_peak(site);
  site.live_bytes -= block.size;
  --site.live_blocks;
  ThreadTotals& owner = result_.threads[block.thread];
  settle_peak(owner);
  owner.live_bytes -= block.size;
  --owner.live_blocks;
  result_.live_bytes -= block.size;
  --result_.live_blocks;
}

void Replay::remember_freed(const LiveBlock& block, StackId free_stack, uint64_t ticks) {
  if (used_pages_)
    used_pages_->note(block.address, usable_bytes(block));
  if (!ghosts_)
    return;
  ghosts_->add({.address = block.address,
                .usable = usable_bytes(block),
                .death_ticks = ticks,
                .site = block.site,
                .free_stack = free_stack});
}

void Replay::allocate(const TraceEvent& event) {
  const uint64_t size = std::min(event.size, kMaxBlockSize);
  const uint32_t site_index = site_of(event.stack);
  const uint32_t thread_index = event.thread_index < kMaxThreads ? event.thread_index : 0;
  ThreadTotals& actor = thread(thread_index);
  SiteTotals& site = result_.sites[site_index];

  ++result_.allocation_calls;
  result_.bytes_requested += size;
  ++site.allocation_calls;
  site.bytes_requested += size;
  ++actor.allocation_calls;
  actor.bytes_requested += size;
  actor.last_ticks = event.ticks;
  SizeClass& size_class = result_.size_classes[size_class_of(size)];
  ++size_class.calls;
  size_class.bytes += size;

  uint32_t chain = 0;
  if (event.kind == EventKind::realloc && actor.moving_from != 0) {
    chain = actor.moving_chain;
    const bool moved = actor.moving_from != event.address;
    for (ReallocTotals* totals : {&result_.reallocs, &result_.reallocs_by_site[site_index]}) {
      ++totals->calls;
      totals->moved += moved ? 1 : 0;
      if (moved)
        totals->bytes_copied += std::min(actor.moving_size, size);
    }
    actor.moving_from = 0;
  }
  actor.last_allocated = event.address;
  if (event.address == 0)
    return; // damage: nothing lives there

  if (LiveBlock* old = live_.find(event.address)) {
    ++result_.implicit_frees;
    close_block(*old);
    if (remembers_freed_)
      remember_freed(*old, 0, event.ticks);
    if (history_)
      history_->block_died(*old);
    count_lifetime(*old, event.ticks);
    if (old->chain != 0)
      chain_ended(*old);
    live_.erase(old);
  }

  settle_peak(site);
  site.live_bytes += size;
  ++site.live_blocks;
  settle_peak(actor);
  actor.live_bytes += size;
  ++actor.live_blocks;
  result_.live_bytes += size;
  ++result_.live_blocks;
  LiveBlock block;
  block.address = event.address;
  block.size = size & kMaxBlockSize;
  block.chain = chain & kMaxChain;
  block.birth_ticks = event.ticks;
  block.site = site_index;
  block.thread = thread_index & (kMaxThreads - 1);
  block.usable = usable_.code_of(size, event.usable) & (UsableSizes::kCodes - 1);
  live_.insert(block);
  if (result_.live_bytes > result_.peak_bytes) {
    result_.peak_bytes = result_.live_bytes;
    result_.peak_blocks = result_.live_blocks;
    result_.peak_ticks = event.ticks;
    result_.peak_step = result_.steps;
    ++epoch_;
  }
  timeline_max_ = std::max(timeline_max_, result_.live_bytes);

  if (event.address == orphan_address_ && event.ticks == orphan_ticks_) [[unlikely]] {
    // Another thread freed it at this very stamp: that free belongs behind this allocation.
    --result_.unknown_frees;
    orphan_address_ = 0;
    LiveBlock* entry = live_.find(event.address);
    close_block(*entry);
    if (remembers_freed_)
      remember_freed(*entry, 0, event.ticks);
    if (history_)
      history_->block_died(*entry);
    count_lifetime(*entry, event.ticks);
    if (entry->chain != 0)
      chain_ended(*entry);
    live_.erase(entry);
  }
}

void Replay::release(const TraceEvent& event) {
  const bool by_realloc = event.is_release();
  const uint32_t thread_index = event.thread_index < kMaxThreads ? event.thread_index : 0;
  ThreadTotals& actor = thread(thread_index);
  ++result_.free_calls;
  ++actor.free_calls;
  actor.last_ticks = event.ticks;
  if (by_realloc)
    actor.moving_from = 0;

  LiveBlock* entry = event.address == 0 ? nullptr : live_.find(event.address);
  if (entry == nullptr) [[unlikely]] {
    ++result_.unknown_frees;
    if (!by_realloc) {
      orphan_address_ = event.address;
      orphan_ticks_ = event.ticks;
    }
    return;
  }
  const LiveBlock block = *entry;
  live_.erase(entry);
  close_block(block);
  if (remembers_freed_)
    remember_freed(block, event.stack, event.ticks);
  if (history_) {
    history_->block_died(block);
    history_->block_freed(block, event.stack, by_realloc);
  }
  count_lifetime(block, event.ticks);
  if (block.thread != thread_index)
    ++actor.freed_for_others;
  if (by_realloc) {
    // The contents live on: no temporary block, and the chain goes on.
    actor.moving_from = event.address;
    actor.moving_size = block.size;
    actor.moving_chain = static_cast<uint32_t>(std::min(kMaxChain, uint64_t{block.chain} + 1));
    return;
  }
  if (block.chain != 0)
    chain_ended(block);
  if (actor.last_allocated == event.address) {
    actor.last_allocated = 0;
    if (block.thread == thread_index) {
      ++result_.temporary;
      ++actor.temporary;
      ++result_.sites[block.site].temporary;
    }
  }
}

void Replay::extended(const TraceEvent& event, const EventBatch& batch) {
  const std::span<const uint8_t> payload = batch.payload_of(event);
  if (is_mapping_kind(event.extended_kind)) {
    MappingCall call;
    if (parse_mapping_call(event.extended_kind, payload, call))
      result_.mappings.apply(event.extended_kind, event.is_release(), call, site_of(event.stack),
                             event.ticks);
    return;
  }
  ProcessCall call;
  if (!parse_process_call(event.extended_kind, payload, call))
    return;
  ThreadTotals& actor = thread(event.thread_index);
  switch (event.extended_kind) {
  case ExtendedKind::thread_start:
    actor.tid = static_cast<uint32_t>(call.a);
    actor.thread_pointer = call.b;
    break;
  case ExtendedKind::thread_exit:
    actor.ended = true;
    break;
  case ExtendedKind::thread_name: {
    // A thread may name another: the tid tells whom.
    ThreadTotals* named = &actor;
    if (call.a != 0 && actor.tid != call.a) {
      for (ThreadTotals& other : result_.threads)
        if (other.tid == call.a)
          named = &other;
    }
    named->name = std::string(call.text.substr(0, 64));
    break;
  }
  case ExtendedKind::lost:
    result_.lost_events[std::min<uint64_t>(call.a, kLossCauses - 1)] += call.b;
    break;
  case ExtendedKind::mark:
    if (result_.marks.size() < ReplayResult::kMaxMarks)
      result_.marks.push_back({std::string(call.text), event.ticks, result_.steps});
    break;
  default:
    break;
  }
}

void Replay::advance(uint64_t ticks) {
  ticks = std::min(ticks, UINT64_MAX - 1); // UINT64_MAX means never, even for a damaged trace's stamps
  if (history_)
    while (ticks >= history_->generation_end_ticks())
      history_->pass_boundary(result_, live_);
  for (; ticks >= stop_end_ticks(); ++stopped_)
    at_stop_(stopped_, *this);
  if (ticks >= timeline_end_ticks_)
    advance_timeline(ticks);
  attention_ticks_ = std::min(timeline_end_ticks_, stop_end_ticks());
  if (history_)
    attention_ticks_ = std::min(attention_ticks_, history_->generation_end_ticks());
}

void Replay::advance_timeline(uint64_t ticks) {
  while (ticks >= timeline_end_ticks_) {
    const uint64_t ahead = (ticks - timeline_end_ticks_) / result_.timeline_bin_ticks + 1;
    const size_t room = kTimelineBins - result_.timeline.size();
    for (uint64_t i = 0; i < std::min<uint64_t>(ahead, room); ++i) {
      result_.timeline.push_back({timeline_max_});
      timeline_max_ = result_.live_bytes;
      timeline_end_ticks_ += result_.timeline_bin_ticks;
    }
    if (ahead < room)
      return;
    // Full: halve the resolution. The current bin then begins a new pair.
    auto& bins = result_.timeline;
    for (size_t i = 0; i < bins.size() / 2; ++i)
      bins[i].max_live_bytes = std::max(bins[2 * i].max_live_bytes, bins[2 * i + 1].max_live_bytes);
    bins.resize(bins.size() / 2);
    if (result_.timeline_bin_ticks > UINT64_MAX / 4 / kTimelineBins) {
      timeline_end_ticks_ = UINT64_MAX; // stamps that no clock gives
      return;
    }
    result_.timeline_bin_ticks *= 2;
    timeline_end_ticks_ =
        result_.timeline_start_ticks + (static_cast<uint64_t>(bins.size()) + 1) * result_.timeline_bin_ticks;
  }
}

void Replay::prefetch(const TraceEvent& event) {
  if (event.kind == EventKind::extended)
    return;
  live_.prefetch(event.address);
  if (event.stack < site_of_stack_.size() && !event.frees())
    __builtin_prefetch(&result_.sites[site_of_stack_[event.stack]], 1);
}

bool Replay::consume(const EventBatch& batch) {
  const TraceEvent* events = batch.events.data();
  const size_t count = batch.events.size();
  for (size_t i = 0; i < count; ++i) {
    const TraceEvent& event = events[i];
    if (event.ticks > limits_.last_ticks || result_.steps >= limits_.last_step)
      return false;
    // A realloc under way at the limit has not happened: its block is the old one.
    if (event.is_release() && i + 1 < count && events[i + 1].ticks > limits_.last_ticks &&
        events[i + 1].thread_index == event.thread_index && (events[i + 1].flags & kStepAfterRelease) != 0)
      return false;
    if (i + kAhead < count)
      prefetch(events[i + kAhead]);
    if (i + kAhead / 2 < count) {
      const TraceEvent& soon = events[i + kAhead / 2];
      if (soon.frees() && soon.kind != EventKind::extended) {
        const LiveBlock& entry = live_.first_probe(soon.address);
        if (entry.address == soon.address)
          __builtin_prefetch(&result_.sites[entry.site], 1);
      }
    }
    ++result_.steps;
    if (event.ticks >= attention_ticks_) [[unlikely]]
      advance(event.ticks);
    if (result_.first_ticks == 0) [[unlikely]]
      result_.first_ticks = event.ticks;
    result_.last_ticks = event.ticks;
    if (event.kind == EventKind::extended) [[unlikely]] {
      extended(event, batch);
    } else if (event.frees()) {
      release(event);
    } else {
      allocate(event);
    }
  }
  return true;
}

void Replay::finish() {
  for (; stopped_ < stops_.size(); ++stopped_)
    at_stop_(stopped_, *this);
  for (SiteTotals& site : result_.sites)
    settle_peak(site);
  for (ThreadTotals& owner : result_.threads)
    settle_peak(owner);
  live_.for_each([this](const LiveBlock& block) {
    SizeClass& size_class = result_.size_classes[size_class_of(block.size)];
    ++size_class.live_blocks;
    size_class.live_bytes += block.size;
    if (block.chain != 0)
      chain_ended(block);
  });
  result_.timeline.push_back({timeline_max_});
  if (history_)
    history_->finish(result_, live_);
}

} // namespace hl
