// The payload of a snapshot chunk, from what a scan found (LeakScanPayload in trace_format.h).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "scan/block_contents.h"
#include "scan/classify.h"

namespace hl {

struct ScanOutcome {
  ScanCause cause = ScanCause::unknown;
  ScanWay way = ScanWay::none;
  ScanFailure failure = ScanFailure::none;
  std::string name = {}, reason = {};
  uint32_t options = kScanDefault;
  uint64_t ticks = 0, pause_ns = 0, duration_ns = 0;
  uint32_t threads = 0, threads_inside = 0;
};

// `graph` and `found` are nullptr where way is none.
std::vector<uint8_t> scan_payload(const ScanOutcome& outcome, const PointerGraph* graph,
                                  const Classification* found,
                                  const std::vector<BlockContents>& contents = {});

} // namespace hl
