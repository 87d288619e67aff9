// Rebuilds the heap from its events: one pass, in memory that grows with live blocks and distinct stacks.
//
// The exact peak in the same pass. When the live total passes its maximum, the peak moves (epoch + 1), and
// nothing else is touched. A site whose epoch is older than the peak has not changed since that peak, so
// its live bytes before its next change are its live bytes at the peak; it notes them then (settle_peak).
// At the end every site that did not change after the last peak is settled the same way.
//
// Two things a trace may hold that cannot be: a free of a block that was never seen (allocated before the
// recording, or its event was lost) is counted and ignored; an allocation where a block is live means that a
// free was missed: that block is closed and counted. Where both carry one stamp (allocation and free of one
// address by two threads) the order that makes sense is taken.
#pragma once

#include <cstdint>
#include <memory>

#include "reader/trace_event.h"
#include "replay/ghost_table.h"
#include "replay/heap_history.h"
#include "replay/live_table.h"
#include "replay/replay_result.h"
#include "replay/usable_sizes.h"
#include "replay/used_pages.h"

namespace hl {

// Where to stop: after the last step that is within both.
struct ReplayLimits {
  uint64_t last_ticks = UINT64_MAX;
  uint64_t last_step = UINT64_MAX;
};

class Replay {
 public:
  static constexpr uint32_t kMaxThreads = 1u << 18;
  static constexpr size_t kTimelineBins = 256;

  explicit Replay(ReplayLimits limits = {}, uint64_t start_ticks = 0, ReplayOptions options = {});

  // false: the limit was reached, further batches are not needed.
  bool consume(const EventBatch& batch);
  // After the last batch.
  void finish();

  // Valid after finish().
  const ReplayResult& result() const { return result_; }
  ReplayResult& result() { return result_; }
  const LiveTable& live() const { return live_; }
  uint64_t usable_bytes(const LiveBlock& block) const { return usable_.usable_of(block.size, block.usable); }
  // nullptr: not asked for.
  const HeapHistory* history() const { return history_.get(); }
  GhostTable* ghosts() const { return ghosts_.get(); }
  const UsedPages* used_pages() const { return used_pages_.get(); }

 private:
  void allocate(const TraceEvent& event);
  void release(const TraceEvent& event);
  void extended(const TraceEvent& event, const EventBatch& batch);
  void close_block(const LiveBlock& block);
  void remember_freed(const LiveBlock& block, StackId free_stack, uint64_t ticks);
  void count_lifetime(const LiveBlock& block, uint64_t ticks);
  void chain_ended(const LiveBlock& block);
  uint32_t site_of(StackId stack);
  ThreadTotals& thread(uint32_t index);
  void settle_peak(SiteTotals& site) {
    if (site.epoch == epoch_)
      return;
    site.peak_bytes = site.live_bytes;
    site.peak_blocks = site.live_blocks;
    site.epoch = epoch_;
  }
  void settle_peak(ThreadTotals& owner) {
    if (owner.epoch == epoch_)
      return;
    owner.peak_bytes = owner.live_bytes;
    owner.epoch = epoch_;
  }
  // At the first event of a new bin of the timeline, of a new generation, or after a stop.
  void advance(uint64_t ticks);
  void advance_timeline(uint64_t ticks);
  // Of the first event after the next stop; UINT64_MAX: there is none.
  uint64_t stop_end_ticks() const {
    return stopped_ < stops_.size() && stops_[stopped_] != UINT64_MAX ? stops_[stopped_] + 1 : UINT64_MAX;
  }
  void prefetch(const TraceEvent& event);

  ReplayLimits limits_;
  ReplayResult result_;
  LiveTable live_;
  UsableSizes usable_;
  std::vector<uint32_t> site_of_stack_; // by canonical stack id; 0: none yet
  uint64_t epoch_ = 0;
  uint64_t timeline_end_ticks_ = 0; // of the current bin
  uint64_t timeline_max_ = 0;       // in the current bin
  uint64_t attention_ticks_ = 0;    // the earliest that advance() has something to do
  std::unique_ptr<HeapHistory> history_;
  std::unique_ptr<GhostTable> ghosts_;
  std::unique_ptr<UsedPages> used_pages_;
  bool remembers_freed_ = false;
  std::vector<uint64_t> stops_;
  std::function<void(size_t, const Replay&)> at_stop_;
  size_t stopped_ = 0;          // how many stops are past
  uint64_t orphan_address_ = 0; // the last unknown free, for allocations of the same moment
  uint64_t orphan_ticks_ = 0;
};

} // namespace hl
