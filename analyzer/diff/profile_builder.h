// A trace -> the profile of its run: one replay, in which the leak scan of the moment is met on the way, then
// the names of every stack that allocated.
#pragma once

#include <functional>
#include <utility>
#include <vector>

#include "analyses/heap_replay.h"
#include "analyses/stack_resolver.h"
#include "diff/run_profile.h"

namespace hl {

// Whether definite losses of a site (index into ReplayResult::sites) are suppressed. Made when the stacks are
// known; null: nothing is.
using SuppressedSite = std::function<bool(uint32_t site)>;
using MakeSuppressedSite =
    std::function<SuppressedSite(const Trace&, const ReplayResult&, const StackResolver&)>;

struct ProfileRequest {
  Moment moment;
  SymbolizerOptions symbols;
  MakeSuppressedSite suppressed; // may be null
  ProgressCallback progress;     // may be null
};

// nullopt: the trace has no such moment; `why` says why.
std::optional<RunProfile> build_profile(const Trace& trace, const ProfileRequest& request, std::string& why);

// A profile of nothing but these stacks, with one measure of each: what makes one part of a run.
RunProfile profile_of_stacks(const Trace& trace, const SymbolizerOptions& symbols, ProfileMetric metric,
                             const std::vector<std::pair<StackId, uint64_t>>& amounts);

} // namespace hl
