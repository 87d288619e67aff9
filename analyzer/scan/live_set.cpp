// See live_set.h.
#include "scan/live_set.h"

#include <algorithm>
#include <thread>

#include "scan/process_modules.h"
#include "scan/scan_failed.h"

namespace hl {
namespace {

void sort_by_address(std::vector<ScanBlock>& blocks) {
  const auto by_address = [](const ScanBlock& a, const ScanBlock& b) { return a.address < b.address; };
  // Of that many, two threads' halves and a merge take less than one thread's whole.
  constexpr size_t kWorthTwoThreads = 1u << 20;
  if (blocks.size() < kWorthTwoThreads) {
    std::sort(blocks.begin(), blocks.end(), by_address);
    return;
  }
  const auto middle = blocks.begin() + static_cast<ptrdiff_t>(blocks.size() / 2);
  std::thread helper([&] { std::sort(middle, blocks.end(), by_address); });
  std::sort(blocks.begin(), middle, by_address);
  helper.join();
  std::inplace_merge(blocks.begin(), middle, blocks.end(), by_address);
}

} // namespace

void LiveSet::catch_up(const std::function<void()>& while_at_it) {
  follow(false, UINT64_MAX, while_at_it);
}
void LiveSet::complete(const std::function<void()>& while_at_it, uint64_t until_ticks) {
  follow(true, until_ticks, while_at_it);
}

void LiveSet::open() {
  try {
    trace_ = Trace::open(path_);
  } catch (const TraceError& error) {
    throw ScanFailed(ScanFailure::incomplete, std::string("the trace cannot be read: ") + error.what());
  }
}

uint64_t LiveSet::behind() {
  open();
  uint64_t events = 0;
  for (const ChunkPlace& place : trace_->event_chunks())
    if (place.last_ticks >= replayed_below_)
      events += place.count;
  return events;
}

uint64_t LiveSet::recent_rate() const {
  uint64_t newest = 0, oldest = UINT64_MAX, events = 0;
  const auto& chunks = trace_->event_chunks();
  // Chunks are a second apart, or large.
  for (size_t i = chunks.size(); i-- > 0 && chunks.size() - i <= 8;) {
    if (chunks[i].count == 0)
      continue;
    newest = std::max(newest, chunks[i].last_ticks);
    oldest = std::min(oldest, chunks[i].first_ticks);
    events += chunks[i].count;
  }
  if (newest <= oldest)
    return 0;
  const uint64_t ns = trace_->clock().ns(newest) - trace_->clock().ns(oldest);
  return ns == 0 ? 0 : static_cast<uint64_t>(static_cast<double>(events) * 1e9 / static_cast<double>(ns));
}

void LiveSet::follow(bool to_the_end, uint64_t until_ticks, const std::function<void()>& while_at_it) {
  open();
  EventStreamOptions options;
  options.from_ticks = replayed_below_;
  options.final_only = !to_the_end;
  EventStream stream(*trace_, options);
  EventBatch batch;
  for (uint64_t batches = 0; stream.next(batch); ++batches) {
    // Chunks are read again where they reach into what is new.
    std::erase_if(batch.events, [this, until_ticks](const TraceEvent& e) {
      return e.ticks < replayed_below_ || e.ticks > until_ticks;
    });
    if (is_sorted_)
      note_touched(batch);
    replay_.consume(batch);
    if (batches % 16 == 0)
      while_at_it();
  }
  last_ticks_ = std::max(last_ticks_, stream.counters().last_ticks);
  damaged_events_ += stream.counters().damaged_events;
  if (!to_the_end)
    replayed_below_ = std::max(replayed_below_, stream.low_water_ticks());
}

std::string LiveSet::what_is_missing() const {
  uint64_t lost = 0, counted = 0;
  for (const uint64_t events : replay_.result().lost_events)
    lost += events;
  if (trace_->metadata().has_losses)
    for (const uint64_t events : trace_->metadata().losses.losses)
      counted += events;
  const uint64_t missing = std::max(lost, counted) + damaged_events_;
  if (missing == 0)
    return {};
  const std::string words = std::to_string(missing) + " events are missing from the trace";
  if (missing > replay_.result().steps)
    throw ScanFailed(ScanFailure::incomplete, words + ", more than are in it: what is live is not known");
  return words + ": blocks may be missing here, or shown though they were freed";
}

LiveSet::Caller LiveSet::caller_of(uint32_t site) const {
  const StackId stack = replay_.result().site_stacks[site];
  if (!trace_->nodes().defined(stack))
    return {};
  const TraceNode& node = trace_->nodes()[stack];
  return {node.pc & kNodePcMask, trace_->modules().find(node.module)};
}

bool LiveSet::is_by_loader(uint32_t site) {
  if (site >= by_loader_.size())
    by_loader_.resize(replay_.result().site_stacks.size());
  if (by_loader_[site] == 0) {
    const TraceModule* const module = caller_of(site).module;
    by_loader_[site] = module != nullptr && is_loader(module->path) ? 2 : 1;
  }
  return by_loader_[site] == 2;
}

void LiveSet::sort_ahead() {
  sorted_ = blocks();
  touched_.clear();
  is_sorted_ = true;
}

void LiveSet::note_touched(const EventBatch& batch) {
  // So much that sorting anew costs less.
  if (touched_.size() > std::max<size_t>(1u << 20, sorted_.size() / 4)) {
    is_sorted_ = false;
    sorted_.clear();
    touched_.clear();
    return;
  }
  for (const TraceEvent& event : batch.events)
    if (event.kind != EventKind::extended)
      touched_.push_back(event.address);
}

std::vector<ScanBlock> LiveSet::blocks() {
  const auto as_scanned = [this](const LiveBlock& block) {
    return ScanBlock{block.address, block.size, block.birth_ticks, is_by_loader(block.site)};
  };
  std::vector<ScanBlock> blocks;
  if (is_sorted_ && touched_.empty()) {
    is_sorted_ = false;
    return std::move(sorted_);
  }
  blocks.reserve(replay_.live().size());
  if (!is_sorted_) {
    replay_.live().for_each([&](const LiveBlock& block) { blocks.push_back(as_scanned(block)); });
    sort_by_address(blocks);
    return blocks;
  }
  // What was sorted before, but for the addresses where something happened since: those are looked up.
  std::sort(touched_.begin(), touched_.end());
  touched_.erase(std::unique(touched_.begin(), touched_.end()), touched_.end());
  auto old = sorted_.begin();
  for (const uint64_t address : touched_) {
    for (; old != sorted_.end() && old->address < address; ++old)
      blocks.push_back(*old);
    if (old != sorted_.end() && old->address == address)
      ++old;
    if (const LiveBlock* const block = replay_.live().find(address); block != nullptr)
      blocks.push_back(as_scanned(*block));
  }
  blocks.insert(blocks.end(), old, sorted_.end());
  return blocks;
}

std::vector<ApplicationMapping> LiveSet::mappings() {
  std::vector<ApplicationMapping> found;
  replay_.result().mappings.for_each_range(
      [&](uint64_t start, uint64_t end, uint32_t site, std::string_view) {
        const Caller caller = caller_of(site);
        found.push_back({start, end, caller.address, caller.module != nullptr ? caller.module->path : ""});
      });
  return found;
}

} // namespace hl
