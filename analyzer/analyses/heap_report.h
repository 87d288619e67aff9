// Sites of a replay, put together the way people look for them: by whole stack, by the first line or
// function of the program's own code, or by module.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "analyses/stack_resolver.h"
#include "replay/replay_result.h"

namespace hl {

enum class GroupBy : uint8_t { stack, line, function, module };
std::optional<GroupBy> parse_group_by(std::string_view text);

// What one can rank sites by.
enum class SiteMetric : uint8_t {
  peak_bytes, // live at the process's peak
  live_bytes, // live at the end of the replay
  allocation_calls,
  bytes_requested,
  temporary,
  bytes_copied, // by reallocs
};

struct SiteNumbers {
  uint64_t allocation_calls = 0, bytes_requested = 0;
  uint64_t peak_bytes = 0, peak_blocks = 0;
  uint64_t live_bytes = 0, live_blocks = 0;
  uint64_t temporary = 0;
  uint64_t reallocs = 0, bytes_copied = 0;
  double lifetime_ticks = 0; // summed over freed blocks

  uint64_t of(SiteMetric metric) const;
  void add(const SiteNumbers& other);
};

SiteNumbers numbers_of(const ReplayResult& result, uint32_t site);

struct SiteGroup {
  SiteNumbers numbers;
  std::string function; // of the frame it is named after
  std::string_view file;
  uint32_t line = 0;
  std::string_view module;
  std::vector<uint32_t> sites; // indices into ReplayResult::sites
};

// Sites with at least one allocation, grouped. Stacks must be resolved.
std::vector<SiteGroup> group_sites(const ReplayResult& result, const StackResolver& resolver, GroupBy by);

// Indices of the greatest by `metric`, at most `count` of them (0: all), without those that have none of it.
std::vector<uint32_t> top_groups(const std::vector<SiteGroup>& groups, SiteMetric metric, size_t count);
// The site of a group that has most of `metric`.
uint32_t heaviest_site(const SiteGroup& group, const ReplayResult& result, SiteMetric metric);

// What of a group libraries allocate that the program's own code calls, by the function that allocates there.
struct LibraryShare {
  const ResolvedFrame* function; // of one of its stacks; nullptr: the program's own code, without a library
  uint64_t amount;
};
// The greatest first, without those that have nothing of `metric`.
std::vector<LibraryShare> library_shares(const SiteGroup& group, const ReplayResult& result,
                                         const StackResolver& resolver, SiteMetric metric);

// Every stack of a replay that allocated.
std::vector<StackId> allocating_stacks(const ReplayResult& result);

} // namespace hl
