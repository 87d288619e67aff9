// Delivers the steps of a trace, batch by batch: from the file's events chunks, then from the blocks of the
// session file that no chunk carries, each event exactly once, threads merged by time.
//
// Memory: one chunk, and the steps that wait until their order is final. What the stream meets on the way
// (damage, losses, gaps) is counted here and told to the trace's problem log.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <vector>

#include "heapledger/event_columns.h"
#include "reader/block_coverage.h"
#include "reader/time_merge.h"
#include "reader/trace.h"
#include "reader/trace_event.h"

namespace hl {

struct EventStreamOptions {
  // false: steps leave chunk by chunk, threads not merged: for counting.
  bool in_order = true;
  // Chunks that lie wholly outside are not read. Steps outside may still be delivered.
  uint64_t from_ticks = 0;
  uint64_t to_ticks = UINT64_MAX;
  // Of a trace that still grows: only steps below low_water_ticks(), whose order no later chunk can change.
  bool final_only = false;
};

class EventStream {
 public:
  static constexpr size_t kBatchEvents = 8192;
  // Beyond this many waiting steps the oldest leave although their order is not final.
  static constexpr uint64_t kMaxPending = 4u << 20;

  EventStream(const Trace& trace, EventStreamOptions options);

  // Fills `out` with about kBatchEvents steps; false: there are no more. Throws nothing but bad_alloc.
  bool next(EventBatch& out);

  struct Counters {
    uint64_t events = 0;             // delivered (a realloc counts once)
    uint64_t damaged_events = 0;     // that damaged chunks and blocks are known to hold
    uint64_t unknown_stacks = 0;     // events whose stack the trace does not define
    uint64_t duplicate_segments = 0; // seen before and dropped
    uint64_t recovered_events = 0;   // from the session file
    uint64_t out_of_order = 0;
    uint64_t last_ticks = 0;
  };
  const Counters& counters() const { return counters_; }
  // No chunk behind those read so far holds a step below. 0: nothing is known.
  uint64_t low_water_ticks() const { return low_water_; }

  // For progress, from any thread.
  uint64_t bytes_done() const { return bytes_done_.load(std::memory_order_relaxed); }
  uint64_t bytes_total() const { return bytes_total_; }

 private:
  bool read_next_chunk();
  void decode_chunk(const ChunkPlace& place);
  void add_recovery_lanes();
  bool refill(TimeMerge::Lane& lane, std::vector<SessionEventBlock>& blocks, size_t& at);
  void push(TimeMerge::Lane& lane, const Event& event);

  const Trace& trace_;
  EventStreamOptions options_;
  size_t next_chunk_ = 0;
  bool recovery_added_ = false;
  bool finished_ = false;
  bool draining_ = false;
  uint64_t low_water_ = 0;
  TimeMerge merge_;
  BlockCoverage coverage_;
  UsablePredictor predictor_;

  std::vector<uint8_t> payload_;
  EventsPayloadView view_;
  EventColumnsDecoder decoder_;
  std::array<std::vector<uint8_t>, 8> raw_columns_;
  std::vector<uint8_t> block_bytes_;

  Counters counters_;
  std::atomic<uint64_t> bytes_done_{0};
  uint64_t bytes_total_ = 0;
};

} // namespace hl
