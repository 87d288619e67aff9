// What a trace says about the recording, apart from its events, stacks and modules: plain data, filled by
// metadata_parser from chunks or by session_file from a session file.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "heapledger/trace_format.h"

namespace hl {

using Uuid = std::array<uint8_t, 16>;

std::string to_text(const Uuid& uuid); // 8-4-4-4-12, lower case
inline bool is_nil(const Uuid& uuid) {
  return uuid == Uuid{};
}

struct ThreadSummary {
  uint32_t thread_index = 0;
  uint32_t tid = 0;
  std::string name;
  uint64_t first_ticks = 0, last_ticks = 0;
  uint64_t events = 0;
};

struct TraceMetadata {
  uint32_t format_version = kTraceVersion;
  Uuid uuid{};
  Uuid session_uuid{};

  bool has_header = false; // false: `header` and the texts below are unknown
  HeaderPayload header{};
  std::string executable;
  std::vector<std::string> arguments;
  std::string working_directory, host, session_path, recorder_version, name, kernel;

  std::vector<ClockPair> clock_pairs; // sorted by ticks
  std::vector<ThreadSummary> threads; // from the summary at the end; empty if there is none

  bool has_losses = false;
  LossesPayload losses{};
  bool has_status = false;
  ProcessStatusPayload status{};
  std::string unrecorded_child; // the newest of what its children became, likewise
  std::string unrecorded_path;  // what it became by exec, unrecorded: see ProcessStatusPayload
  bool has_recorder = false;
  RecorderStatsPayload recorder{};
  bool has_sampling = false;
  SamplingPayload sampling{};
  bool has_unwind_check = false;
  UnwindCheckPayload unwind_check{};
  std::string unwind_check_text;

  bool closed = false; // an end chunk is there
};

} // namespace hl
