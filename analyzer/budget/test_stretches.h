// What happened in each test of a run: between its mark and the next.
//
// A test sets the mark "test:NAME" when it begins; it ends at the next mark that begins with "test:" ("test:"
// alone ends one without beginning another) or with the run. Of a test that ran several times the greatest of
// each measure is kept.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "analyses/heap_replay.h"
#include "diff/run_profile.h"

namespace hl {

inline constexpr std::string_view kTestMark = "test:";

struct TestStretch {
  uint64_t runs = 0;
  // peak_bytes: the most that was live beyond what was live when it began. exit_bytes: what it left behind:
  // live at its end beyond that. allocation_calls, bytes_requested, temporary_allocations, free_calls: its
  // own.
  MetricValues metrics;
};
bool is_test_metric(ProfileMetric metric);

// By NAME. One replay. Marks beyond the first ReplayResult::kMaxMarks are not seen.
std::map<std::string, TestStretch> test_stretches(const Trace& trace, const ProgressCallback& progress);

// Who makes a measure of a test: by stack, of the run of the test that had most of it; they add up to the
// measure, and what the test freed of others' blocks counts against their stacks (left out). Another replay.
using TestMetric = std::pair<std::string, ProfileMetric>; // NAME and one of allocation_calls,
                                                          // bytes_requested, peak_bytes, exit_bytes
using StackAmounts = std::vector<std::pair<StackId, uint64_t>>;
std::map<TestMetric, StackAmounts> test_stacks(const Trace& trace, const std::vector<TestMetric>& wanted,
                                               const ProgressCallback& progress);

} // namespace hl
