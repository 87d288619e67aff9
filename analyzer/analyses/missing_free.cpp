// See missing_free.h.
#include "analyses/missing_free.h"

#include <algorithm>
#include <bit>
#include <map>
#include <set>
#include <unordered_map>
#include <unordered_set>

namespace hl {
namespace {

constexpr double kOfSurvivors = 0.9, kOfFreed = 0.1;
constexpr uint64_t kFewestFreed = 10; // fewer siblings than these tell nothing
constexpr size_t kFewestGenerations = 4;

bool tells_apart(double of_survivors, double of_freed) {
  return of_survivors >= kOfSurvivors && of_freed <= kOfFreed;
}

double share(uint64_t part, uint64_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

unsigned size_class_of(uint64_t size) {
  return static_cast<unsigned>(std::bit_width(size <= 1 ? 0 : size - 1));
}

// Both by the same kind of key.
using Counts = std::map<uint32_t, uint64_t>;

uint64_t total(const Counts& counts) {
  uint64_t sum = 0;
  for (const auto& [key, count] : counts)
    sum += count;
  return sum;
}

uint64_t within(const Counts& counts, uint32_t from, uint32_t to) {
  uint64_t sum = 0;
  for (auto at = counts.lower_bound(from); at != counts.end() && at->first <= to; ++at)
    sum += at->second;
  return sum;
}

// The range that holds all but the outer twentieth at either end.
struct Range {
  uint32_t from, to;
};
Range most_of(const Counts& counts) {
  const uint64_t cut = total(counts) / 20;
  Range range{counts.begin()->first, counts.rbegin()->first};
  uint64_t seen = 0;
  for (auto at = counts.begin(); at != counts.end() && seen <= cut; ++at) {
    range.from = at->first;
    seen += at->second;
  }
  seen = 0;
  for (auto at = counts.rbegin(); at != counts.rend() && seen <= cut; ++at) {
    range.to = at->first;
    seen += at->second;
  }
  return range;
}

// What is asked about, site by site.
struct Siblings {
  std::unordered_map<uint32_t, uint64_t> leaked, freed; // blocks
  uint64_t all_leaked = 0, all_freed = 0;
};

// A function on the stacks that allocated: of those that tell survivors best the outermost on the heaviest
// stack, that is the one where the ways part.
bool tell_by_function(const Siblings& siblings, const Replay& replay, const StackResolver& resolver,
                      Distinction& found) {
  struct Weight {
    uint64_t leaked = 0, freed = 0;
  };
  std::unordered_map<std::string_view, Weight> weights;
  const ReplayResult& result = replay.result();
  std::unordered_set<uint32_t> sites;
  for (const auto* side : {&siblings.leaked, &siblings.freed})
    for (const auto& [site, blocks] : *side)
      sites.insert(site);
  uint32_t heaviest = 0;
  uint64_t most = 0;
  for (const uint32_t site : sites) {
    const auto leaked = siblings.leaked.find(site), freed = siblings.freed.find(site);
    const uint64_t leaked_blocks = leaked == siblings.leaked.end() ? 0 : leaked->second;
    const uint64_t freed_blocks = freed == siblings.freed.end() ? 0 : freed->second;
    if (leaked_blocks > most || (leaked_blocks == most && site < heaviest)) {
      most = leaked_blocks;
      heaviest = site;
    }
    std::set<std::string_view> once; // recursion counts once
    for (const ResolvedFrame& frame : resolver.frames(result.site_stacks[site]))
      if (!frame.marker && frame.frame_class != FrameClass::kAllocator &&
          once.insert(frame.function).second) {
        weights[frame.function].leaked += leaked_blocks;
        weights[frame.function].freed += freed_blocks;
      }
  }
  double best = -1;
  for (const ResolvedFrame& frame : resolver.frames(result.site_stacks[heaviest])) {
    const auto weight = weights.find(frame.function);
    if (weight == weights.end() || frame.marker)
      continue;
    const double of_leaked = share(weight->second.leaked, siblings.all_leaked);
    const double of_freed = share(weight->second.freed, siblings.all_freed);
    // The program's own functions before a library's.
    const double score = of_leaked - of_freed + (frame.frame_class == FrameClass::kOwn ? 1 : 0);
    if (!tells_apart(of_leaked, of_freed) || score < best)
      continue;
    best = score;
    found.kind = Distinction::Kind::function;
    found.function = frame.function;
    found.share_of_survivors = of_leaked;
    found.share_of_freed = of_freed;
  }
  return found.kind != Distinction::Kind::none;
}

bool tell_by_thread(const Counts& leaked, const Counts& freed, Distinction& found) {
  if (total(freed) == 0)
    return false;
  for (const auto& [thread, blocks] : leaked) {
    const double of_leaked = share(blocks, total(leaked));
    const double of_freed = share(within(freed, thread, thread), total(freed));
    if (!tells_apart(of_leaked, of_freed))
      continue;
    found.kind = Distinction::Kind::thread;
    found.thread = thread;
    found.share_of_survivors = of_leaked;
    found.share_of_freed = of_freed;
    return true;
  }
  return false;
}

bool tell_by_range(const Counts& leaked, const Counts& freed, Range& range, Distinction& found) {
  if (total(freed) == 0)
    return false;
  range = most_of(leaked);
  const double of_leaked = share(within(leaked, range.from, range.to), total(leaked));
  const double of_freed = share(within(freed, range.from, range.to), total(freed));
  if (!tells_apart(of_leaked, of_freed))
    return false;
  found.share_of_survivors = of_leaked;
  found.share_of_freed = of_freed;
  return true;
}

// Freed siblings by the generation of their birth.
Counts freed_by_birth(const Replay& replay, std::span<const uint32_t> sites) {
  Counts births, living;
  const HeapHistory& history = *replay.history();
  const auto last = static_cast<uint32_t>(history.options().boundaries.size());
  for (const uint32_t site : sites) {
    uint64_t rest = replay.result().sites[site].allocation_calls;
    uint32_t generation = 0;
    for (const SiteNote& note : history.notes_of(site)) {
      births[generation++] += note.births;
      rest -= std::min<uint64_t>(rest, note.births);
    }
    births[last] += rest;
    for (const Census::Cohort& cohort : history.census_at_end().cohorts_of(site))
      living[cohort.generation] += cohort.blocks;
  }
  for (auto& [generation, count] : births)
    count -= std::min(count, living[generation]);
  return births;
}

} // namespace

std::string_view to_string(Distinction::Kind kind) {
  switch (kind) {
  case Distinction::Kind::none:
    return "none";
  case Distinction::Kind::function:
    return "function";
  case Distinction::Kind::thread:
    return "thread";
  case Distinction::Kind::size:
    return "size";
  case Distinction::Kind::period:
    return "period";
  }
  return "none";
}

std::vector<StackId> freeing_stacks(const Replay& replay, std::span<const uint32_t> sites) {
  std::set<StackId> stacks;
  for (const uint32_t site : sites)
    for (const FreedByStack& freed : replay.history()->freed_by_stack(site))
      if (freed.stack != 0)
        stacks.insert(freed.stack);
  return {stacks.begin(), stacks.end()};
}

MissingFree missing_free(const Replay& replay, const Generations& generations, const TraceClock& clock,
                         const StackResolver& resolver, std::span<const uint32_t> sites,
                         std::span<const LiveBlock> leaked) {
  MissingFree answer;
  const ReplayResult& result = replay.result();
  const HeapHistory& history = *replay.history();
  Siblings siblings;
  Counts leaked_threads, leaked_sizes, leaked_births, freed_threads, freed_sizes;
  for (const LiveBlock& block : leaked) {
    ++siblings.leaked[block.site];
    ++leaked_threads[block.thread];
    ++leaked_sizes[size_class_of(block.size)];
    const auto generation =
        std::lower_bound(generations.boundaries.begin(), generations.boundaries.end(), block.birth_ticks) -
        generations.boundaries.begin();
    ++leaked_births[static_cast<uint32_t>(generation)];
  }
  siblings.all_leaked = answer.survivors = leaked.size();

  std::map<std::pair<std::string, bool>, FreedBy> by_function;
  std::map<std::pair<std::string, bool>, uint64_t> most_of_one_stack;
  uint64_t told = 0;
  for (const uint32_t site : sites) {
    const SiteTotals& totals = result.sites[site];
    const uint64_t freed_blocks =
        totals.allocation_calls - std::min<uint64_t>(totals.allocation_calls, totals.live_blocks);
    if (freed_blocks != 0)
      siblings.freed[site] = freed_blocks;
    siblings.all_freed += freed_blocks;
    for (const FreedKin& kin : history.freed_kin(site)) {
      freed_threads[kin.thread] += kin.blocks;
      freed_sizes[kin.size_class] += kin.blocks;
    }
    for (const FreedByStack& freed : history.freed_by_stack(site)) {
      if (freed.stack == 0)
        continue;
      answer.free_stacks_known |= !freed.through_realloc;
      const ResolvedFrame frame = resolver.leading_frame(freed.stack);
      const auto key =
          std::pair(std::string(frame.function) + "\n" + std::string(frame.module), freed.through_realloc);
      FreedBy& by = by_function[key];
      if (freed.blocks > most_of_one_stack[key]) {
        most_of_one_stack[key] = freed.blocks;
        by.function = frame.function;
        by.file = frame.file;
        by.line = frame.line;
        by.stack = freed.stack;
        by.through_realloc = freed.through_realloc;
      }
      by.blocks += freed.blocks;
      by.bytes += freed.bytes;
    }
  }
  answer.freed_blocks = siblings.all_freed;
  for (auto& [key, by] : by_function)
    answer.freed_by.push_back(std::move(by));
  std::stable_sort(answer.freed_by.begin(), answer.freed_by.end(),
                   [](const FreedBy& a, const FreedBy& b) { return a.blocks > b.blocks; });
  answer.freed_by.resize(std::min(answer.freed_by.size(), MissingFree::kMaxFreedBy));
  for (const FreedBy& by : answer.freed_by)
    told += by.blocks;
  answer.freed_otherwise = answer.freed_blocks - std::min(answer.freed_blocks, told);

  if (answer.freed_blocks < kFewestFreed || leaked.empty())
    return answer;
  Distinction& found = answer.distinction;
  if (tell_by_function(siblings, replay, resolver, found) ||
      tell_by_thread(leaked_threads, freed_threads, found))
    return answer;
  Range range{};
  if (tell_by_range(leaked_sizes, freed_sizes, range, found)) {
    found.kind = Distinction::Kind::size;
    found.from_bytes = range.from == 0 ? 0 : (uint64_t{1} << (range.from - 1)) + 1;
    found.to_bytes = uint64_t{1} << range.to;
    return answer;
  }
  // Blocks that are just not freed yet are no period: it must have ended before the newest generations.
  const size_t count = generations.boundaries.size() + 1;
  if (count >= kFewestGenerations &&
      tell_by_range(leaked_births, freed_by_birth(replay, sites), range, found) && range.to + 2 < count) {
    found.kind = Distinction::Kind::period;
    found.from_ns = range.from == 0 ? 0 : clock.ns(generations.boundaries[range.from - 1]);
    found.to_ns = clock.ns(generations.boundaries[range.to]);
    return answer;
  }
  found = {};
  return answer;
}

} // namespace hl
