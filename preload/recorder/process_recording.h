// One process image being recorded: its event blocks in the session file, and the trace they go to.
//
// What makes a restarted recorder neither lose nor double anything: an event block is drained from a position
// on; every chunk names the stretches it holds (slot, generation, sequence, from, to); a block goes back to
// the pool only after the write() of its last stretch returned. After a restart the trace itself says how far
// each block had been drained. Nothing here may depend on memory that a kill of the recorder would take
// along.
//
// A full disk must not harm the application: what cannot be written is counted as disk_full and drained all
// the same; definitions are kept and tried again.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "cgroup_memory.h"
#include "chunk_codec.h"
#include "definitions.h"
#include "heapledger/event_columns.h"
#include "memory_sampler.h"
#include "process_watch.h"
#include "session_file.h"
#include "tally.h"
#include "trace_file.h"

namespace hl {

// What all recordings of one recorder share.
struct Workshop {
  SessionFile& session;
  ChunkCodec codec;
  EventColumnsEncoder encoder;
  int zstd_level;
  uint32_t restarts;
  uint64_t cpu_before_ns; // of this recorder's predecessors
  std::vector<uint64_t> known_blocks =
      std::vector<uint64_t>((kMaxBlocks + 63) / 64); // bitmap: need no further look

  void know(uint32_t index) { known_blocks[index / 64] |= uint64_t{1} << (index % 64); }
  // What these blocks held is in a trace, or nobody's any more.
  void give_back(const std::vector<uint32_t>& indexes);
};

// How a process ended, as far as anybody knows.
struct ProcessEnd {
  uint32_t how = 0; // ProcessStatusPayload::how
  int32_t code = -1;
  uint32_t oom_kills = 0;
  uint64_t user_ns = 0, system_ns = 0, peak_rss_bytes = 0;
};

// Names that a trace may have, by number, most wanted first: made one at a time, for nearly always the first
// is free.
// "": there are no more.
using TraceNames = std::function<std::string(uint32_t attempt)>;

class ProcessRecording {
 public:
  // `block_index`: its process block. Call locate() and open_trace() next.
  ProcessRecording(Workshop& workshop, uint32_t block_index);

  // Finds it among the processes of the machine; again later, where that is not possible yet. `root_pid`: of
  // the program asked for, 0 if not known; `other_pids`: of processes that it is not.
  void locate(uint32_t root_pid, std::vector<uint32_t> other_pids);
  bool located() const { return located_; }

  const SessionProcess& process() const { return process_; }
  uint32_t slot() const { return slot_; }
  uint32_t generation() const { return generation_; }
  bool is_root() const { return is_root_; }
  // When the shim attached, by the recorder's clocks.
  const ClockPair& started() const { return started_; }
  // Whether that is known to be so.
  bool clocks_agree() const { return clocks_agree_; }
  const Tally& tally() const { return tally_; }
  Tally& tally() { return tally_; }
  TraceFile* trace() { return trace_.get(); }
  ProcessWatch& watch() { return watch_; }
  ScanDesk& scan_desk() { return process_.scans; }
  SessionProcess& process_for_marks() { return process_; }
  std::atomic<uint32_t>& counted() { return process_.counted; }
  // Of its memory cgroup: the caller looks.
  GroupOomKills& group_oom_kills() { return group_oom_kills_; }
  // When its counters are written next, CLOCK_MONOTONIC: the caller's note.
  uint64_t& next_usage_ns() { return next_usage_ns_; }

  // Nothing more can come from it.
  bool ended(uint64_t now_ns, bool root_ended);

  // Creates the trace, or continues the one an earlier recorder left. false: not possible now, try again
  // later.
  bool open_trace(const TraceNames& names);
  // errno of the last attempt to write that failed, 0 none.
  int write_error() const { return trace_ == nullptr ? open_error_ : trace_->error(); }

  void add_event_block(uint32_t index);
  // Event blocks that threads are still filling.
  uint32_t held_blocks() const;
  // Committed and not yet drained.
  uint64_t pending_bytes() const;

  // Drains everything committed. `pass_ticks`: a stamp taken before the caller looked for new blocks.
  void drain(uint64_t pass_ticks);
  // A trace that has nothing yet gets its header.
  void begin_trace();
  // After drain(): records a mark that no thread of the process has set.
  void write_mark(std::string_view name);
  // After drain(): a leak scan reads the trace now. false: it does not hold everything that was recorded.
  bool ready_for_scan();
  // Appends what a leak scan found. false: it could not be written.
  bool append_scan(const LeakScanPayload& head, std::span<const uint8_t> payload);
  // A sample of its memory map. false: it could not be written, or belongs to another image.
  bool append_sample(const TakenSample& sample);
  bool append_usage(std::span<const UsageRow> rows);
  // What sampling has done in this recorder's time; written when it has changed.
  bool write_sampling(const SamplingPayload& stats);
  // Of the newest scan because of the image's end.
  const std::optional<LeakScanPayload>& end_scan() const { return end_scan_; }
  const std::string& end_scan_reason() const { return end_scan_reason_; }

  // The process has ended, but its recording goes on: what is known of its end now may not be later.
  void note_end();
  std::optional<int> noted_exit_status() const { return noted_exit_status_; }
  // Once a second: what changes slowly. `now_ns`: CLOCK_MONOTONIC.
  void housekeep(uint64_t now_ns);
  void count_loss(LossCause cause, uint64_t n) {
    process_.losses[static_cast<uint32_t>(cause)].fetch_add(
        n, std::memory_order_relaxed); // relaxed: a statistic
  }
  // The process can write no more: drains the rest.
  void drain_to_end();
  // After drain_to_end(): closes the trace. false: it could not be closed cleanly.
  bool finish(const ProcessEnd& end);

  // After finish(): gives back every block of this image.
  void release_blocks();

  uint64_t lost_events() const;
  // The session file stays, and with it the blocks that were not returned: what of them is in no chunk is
  // read from there, so it is not lost.
  void uncount_what_stays();
  uint64_t lost_events(LossCause cause) const {
    return process_.losses[static_cast<uint32_t>(cause)].load(std::memory_order_relaxed);
  }
  uint64_t raw_bytes() const { return raw_bytes_; }

 private:
  struct OpenBlock {
    uint32_t index;
    uint64_t sequence;
    uint32_t tid, thread_index, flags;
    uint32_t drained_bytes;
    uint32_t drained_events;
    BlockCursor cursor; // at drained_bytes
    bool damaged;
    // Drained since the last chunk; drained and counted as lost since the last chunk that could be written.
    uint32_t unflushed_events, lost_events;
    // Of this drain:
    bool sealed;
    uint32_t committed_bytes;
    // For finding dead threads and stale floors:
    uint32_t idle_checks;
    uint64_t floor;
    uint64_t floor_since_ns;
  };
  struct LeftFloor { // of a returned block whose thread was still inside our code
    uint32_t thread_index, flags;
    uint64_t sequence, floor, since_ns;
  };

  void translate_start();
  const SessionProcess* origin() const;
  EventBlock* event_block(uint32_t index) const;
  uint64_t low_water(uint64_t pass_ticks);
  void drain_block(OpenBlock& block);
  void flush(uint64_t low_water_ticks);
  void return_drained();
  void reclaim_dead_threads();
  bool write_header();
  bool write_clock();
  bool write_losses();
  bool write_maps();
  bool write_threads();
  bool write_unwind_check();
  bool write_status(const ProcessEnd& end);
  bool write_recorder_stats();
  void continue_from(const ChunkHeader& chunk, std::span<const uint8_t> payload);
  void skip_to(OpenBlock& block, uint32_t bytes);
  bool wrote(bool good);

  Workshop& shop_;
  SessionProcess& process_;
  const uint32_t block_index_, slot_, generation_;
  bool is_root_ = false;
  ClockPair started_;
  bool clocks_agree_ = false; // its ticks are ours, so that started_ is known to be by our clocks
  std::unique_ptr<TraceFile> trace_;
  int open_error_ = 0;
  ProcessWatch watch_;
  Definitions definitions_;
  Tally tally_;
  std::unordered_map<uint32_t, ThreadTally> threads_;
  std::vector<OpenBlock> blocks_;
  std::vector<LeftFloor> left_floors_;
  std::unordered_map<uint64_t, uint32_t> drained_before_; // sequence -> bytes, of an earlier recorder
  uint64_t announced_low_water_ = 0;
  uint64_t next_clock_ns_ = 0, next_maps_ns_ = 0;
  uint32_t maps_modules_ = 0;
  uint64_t losses_written_[kLossCauses + 1] = {};
  uint64_t raw_bytes_ = 0;
  bool header_written_ = false;
  SamplingPayload sampling_before_{}, sampling_written_{}; // by an earlier recorder; the newest in the trace
  uint64_t samples_not_written_ = 0, next_usage_ns_ = 0;
  std::optional<LeakScanPayload> end_scan_;
  std::string end_scan_reason_;
  std::optional<int> noted_exit_status_;
  GroupOomKills group_oom_kills_;
  bool located_ = false; // watch_ knows it; else its pid could not be found out
  uint64_t last_commit_ns_ = 0, events_at_housekeeping_ = 0;
};

} // namespace hl
