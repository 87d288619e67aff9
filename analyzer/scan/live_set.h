// The blocks that are live in a process at this moment, from its trace, which its recorder is still writing.
//
// Most of the trace is replayed while the program runs: whatever is final, that is, older than anything a
// later chunk can hold (catch_up, as often as worth while). Then, with the program standing still and
// everything it has committed appended to the trace, only the rest has to be (complete).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "reader/event_stream.h"
#include "replay/replay.h"
#include "scan/pointer_graph.h"
#include "scan/roots.h"

namespace hl {

class LiveSet {
 public:
  // Throws ScanFailed (incomplete) where the trace cannot be read.
  explicit LiveSet(std::string trace_path) : path_(std::move(trace_path)) {}

  // Reads what the trace says of itself, but no events.
  void open();
  // `while_at_it` is called now and then.
  void catch_up(const std::function<void()>& while_at_it);
  // Without events that have later stamps.
  void complete(const std::function<void()>& while_at_it, uint64_t until_ticks = UINT64_MAX);

  // Events that the trace holds by now and catch_up has not replayed: what complete() would have to do.
  uint64_t behind();
  // Events a second that the program made lately, as of behind().
  uint64_t recent_rate() const;
  // Before complete(): puts what is live by now in order, so that blocks() need not do it while the program
  // stands still.
  void sort_ahead();
  // As of the last of catch_up and complete. By address; sizes as requested.
  std::vector<ScanBlock> blocks();
  std::vector<ApplicationMapping> mappings();
  // Of a live block; 0: not live, or unknown.
  uint32_t site_of(uint64_t address) const {
    const LiveBlock* const block = replay_.live().find(address);
    return block == nullptr ? 0 : block->site;
  }
  uint64_t live_blocks() const { return replay_.live().size(); }
  uint64_t live_bytes() const { return replay_.result().live_bytes; }
  // Stamp of the newest event so far.
  uint64_t last_ticks() const { return last_ticks_; }

  // The trace as last read.
  const Trace& trace() const { return *trace_; }
  // What is missing from the trace, in words; "" if nothing is. Throws ScanFailed (incomplete) if that is
  // most.
  std::string what_is_missing() const;

 private:
  void follow(bool to_the_end, uint64_t until_ticks, const std::function<void()>& while_at_it);
  struct Caller {
    uint64_t address = 0;
    const TraceModule* module = nullptr; // nullptr: unknown
  };
  Caller caller_of(uint32_t site) const;
  void note_touched(const EventBatch& batch);
  bool is_by_loader(uint32_t site);

  std::string path_;
  std::unique_ptr<Trace> trace_;
  Replay replay_;
  uint64_t replayed_below_ = 0; // steps with stamps below have been replayed
  uint64_t last_ticks_ = 0;
  uint64_t damaged_events_ = 0;
  std::vector<ScanBlock> sorted_; // by sort_ahead()
  bool is_sorted_ = false;
  std::vector<uint64_t> touched_;  // addresses of blocks that came or went since
  std::vector<uint8_t> by_loader_; // by site: 0 not known, 1 no, 2 yes
};

} // namespace hl
