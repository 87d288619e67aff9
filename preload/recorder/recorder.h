// The recorder: drains one session file until nobody is left who writes to it.
//
// Passes. Each pass looks for new blocks, drains the processes for which it is worth while (much is pending,
// a second has passed, the pool is running low, or the process ended), gives blocks back, and extends the
// file ahead of need. Between passes it sleeps as long as the pool can take what came in lately: 1 to 50 ms,
// and it is woken at once when a thread finds the pool empty, sets a mark, or asks for something.
//
// What must not happen: that the recorder ends while a process may still write. It ends when every recorded
// process has ended, every child that was forked but has not shown itself is gone or does not map the session
// file, and (under a supervisor) the root has ended.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "cgroup_memory.h"
#include "control_channel.h"
#include "expected_children.h"
#include "leak_scan.h"
#include "memory_sampler.h"
#include "process_recording.h"
#include "processor_choice.h"
#include "run_index.h"
#include "session_file.h"

namespace hl {

struct RecorderSettings {
  int zstd_level = 1;
  uint32_t pool_bytes = 8u << 20;
  int control_fd = -1;
  uint32_t restarts = 0;
  uint64_t cpu_before_ns = 0; // of the recorders of this session that died
  LeakScanSettings scans = {};
};

class Recorder {
 public:
  Recorder(SessionFile& session, const RecorderSettings& settings);
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  // Until all is recorded. Afterwards the session file is deleted unless a trace needs it.
  void run();
  // One pass, for tests and run(). true: there is something left to do.
  bool pass();
  uint64_t next_sleep_ns() const { return sleep_ns_; }

 private:
  void read_control();
  void discover_blocks();
  bool adopt_process(uint32_t index);
  void locate(ProcessRecording& recording);
  void search_for(ProcessRecording& recording);
  ProcessRecording* recording_of(const BlockHeader& block);
  void drain_all(uint64_t pass_ticks);
  void note_mark(ProcessRecording& recording);
  void watch_memory_of(ProcessRecording& recording);
  void look_at_group_of(ProcessRecording& recording);
  void take_samples();
  // The image that took over its pid, by exec or because the pid was given out again; nullptr: none has.
  ProcessRecording* younger_image(ProcessRecording& recording) const;
  void write_usage(ProcessRecording& recording, bool all);
  void go_on_with_scans();
  void notice_ends();
  void finish(size_t index, bool replaced_by_exec, bool was_last);
  ProcessEnd end_of(ProcessRecording& recording, bool replaced_by_exec);
  TraceNames names_of(const ProcessRecording& recording) const;
  void extend_ahead();
  void plan_sleep();
  void expect_children(ProcessRecording& recording);
  void count_end(ProcessRecording& recording, const ProcessEnd& end, bool kept);
  void note_root_complete(ProcessRecording& recording, const ProcessEnd& end, bool good);
  void send_root_complete();

  SessionFile& session_;
  const RecorderSettings settings_;
  Workshop shop_;
  std::vector<std::unique_ptr<ProcessRecording>> recordings_;
  MemorySampler sampler_;
  LeakScans scans_;
  RunIndex index_;
  ExpectedChildren expected_;
  std::unordered_map<uint32_t, ChildStatus> reaped_; // by pid
  uint32_t root_pid_ = 0;
  bool root_ended_ = false; // or nobody supervises
  bool supervised_;
  uint32_t kept_ = 0; // images whose trace could not be closed: the session file stays for them
  bool any_seen_ = false;
  uint64_t kept_lost_ = 0, kept_lost_disk_full_ = 0; // events: of the images whose trace could not be closed
  CgroupMount cgroups_;
  GroupOomKills own_group_; // of processes whose group is not known
  ProcessorChoice processor_;
  uint64_t started_ns_ = 0;
  uint64_t now_ns_ = 0, next_drain_ns_ = 0, next_housekeeping_ns_ = 0, next_search_ns_ = 0,
           next_end_check_ns_ = 0, many_messages_since_ns_ = 0, next_scan_notice_ns_ = 0,
           next_mark_drain_ns_ = 0, idle_since_ns_ = 0;
  bool marks_wait_ = false; // of somebody, until next_mark_drain_ns_
  uint64_t sleep_ns_ = 1'000'000;
  uint64_t drained_bytes_ = 0;                  // of this pass
  std::optional<ControlMessage> root_complete_; // to be sent
};

} // namespace hl
