// See live_set.h.
#include "scan/live_set.h"

#include <algorithm>

#include "scan/process_modules.h"
#include "scan/scan_failed.h"

namespace hl {

void LiveSet::catch_up(const std::function<void()>& while_at_it) {
  follow(false, while_at_it);
}
void LiveSet::complete(const std::function<void()>& while_at_it) {
  follow(true, while_at_it);
}

void LiveSet::open() {
  try {
    trace_ = Trace::open(path_);
  } catch (const TraceError& error) {
    throw ScanFailed(ScanFailure::incomplete, std::string("the trace cannot be read: ") + error.what());
  }
}

void LiveSet::follow(bool to_the_end, const std::function<void()>& while_at_it) {
  open();
  EventStreamOptions options;
  options.from_ticks = replayed_below_;
  options.final_only = !to_the_end;
  EventStream stream(*trace_, options);
  EventBatch batch;
  for (uint64_t batches = 0; stream.next(batch); ++batches) {
    // Chunks are read again where they reach into what is new.
    std::erase_if(batch.events, [this](const TraceEvent& e) { return e.ticks < replayed_below_; });
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

std::vector<ScanBlock> LiveSet::blocks() {
  std::vector<uint8_t> by_loader(replay_.result().site_stacks.size());
  for (uint32_t site = 0; site < by_loader.size(); ++site) {
    const TraceModule* const module = caller_of(site).module;
    by_loader[site] = module != nullptr && is_loader(module->path);
  }
  std::vector<ScanBlock> blocks;
  blocks.reserve(replay_.live().size());
  replay_.live().for_each([&](const LiveBlock& block) {
    blocks.push_back({block.address, block.size, block.birth_ticks, by_loader[block.site] != 0});
  });
  std::sort(blocks.begin(), blocks.end(),
            [](const ScanBlock& a, const ScanBlock& b) { return a.address < b.address; });
  return blocks;
}

std::vector<ApplicationMapping> LiveSet::mappings() {
  std::vector<ApplicationMapping> found;
  replay_.result().mappings.for_each_range([&](uint64_t start, uint64_t end, uint32_t site) {
    const Caller caller = caller_of(site);
    found.push_back({start, end, caller.address, caller.module != nullptr ? caller.module->path : ""});
  });
  return found;
}

} // namespace hl
