// What leaked, by site: the classes of a scan laid over the live heap of the same moment.
//
// A site is a whole stack; one site may have blocks of several classes, each an entry of its own. Without a
// scan the live blocks are all of class unknown: not freed, and nobody knows more.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "analyses/heap_report.h"
#include "analyses/metrics.h"
#include "analyses/root_names.h"
#include "reader/leak_scan.h"
#include "replay/replay.h"

namespace hl {

inline constexpr size_t kLeakClasses = 5;         // by LeakClass
std::string_view to_string(LeakClass leak_class); // "definite"; unknown: "not_freed"

struct BlockSum {
  uint64_t bytes = 0; // requested
  uint64_t blocks = 0;

  void add(uint64_t block_bytes) {
    bytes += block_bytes;
    ++blocks;
  }
  void add(const BlockSum& other) {
    bytes += other.bytes;
    blocks += other.blocks;
  }
};

// From a root to an example block: through the sites of the blocks on the way, root's side first.
struct HoldingPath {
  struct Step {
    uint32_t site;
    uint64_t blocks; // that follow each other in the chain with the same site
  };
  std::string root; // words; empty: nothing holds it
  std::vector<Step> steps;
  uint64_t left_out = 0; // blocks in the middle of a long way
};

struct LeakSite {
  LeakClass leak_class = LeakClass::unknown;
  uint32_t site = 0; // index into ReplayResult::sites
  BlockSum sum;
  BlockSum with; // definite: what only these lead to (their indirect losses)
  uint64_t oldest_ticks = UINT64_MAX, youngest_ticks = 0; // birth
  std::vector<uint32_t> threads;                          // that allocated them; at most kMaxThreads
  bool more_threads = false;                              // there are more
  uint64_t example_address = 0, example_bytes = 0;        // the oldest block
  HoldingPath held;                                       // of the example
  BlockSum held_so; // of these blocks, those whose root has the same name
  static constexpr size_t kMaxThreads = 8;
};

// The rule that suppresses blocks of a class and site (index into ReplayResult::sites); nullopt: none. Asked
// once for each.
using RuleOf = std::function<std::optional<size_t>(LeakClass, uint32_t site)>;

struct LeakReport {
  bool scanned = false;
  std::string reason; // not scanned: why
  std::array<BlockSum, kLeakClasses> totals;
  std::vector<LeakSite> sites; // what to mend first, first
  // Not in the totals and sites above. What is lost with a suppressed block is suppressed by the same rule.
  BlockSum suppressed;
  std::unordered_map<size_t, BlockSum> suppressed_by; // rule
  // Blocks that only the scan or only the replay knows: a sign of lost events.
  uint64_t unknown_to_replay = 0, unknown_to_scan = 0;

  const BlockSum& of(LeakClass leak_class) const { return totals[static_cast<size_t>(leak_class)]; }
};

// `scan` nullptr: there is none, `reason` says why. The replay stands at the scan's moment.
LeakReport make_leak_report(const Replay& replay, const LeakScan* scan, const std::string& reason,
                            RootNames& roots, const RuleOf& rule_of = {});

// Sites of one class put together by what a reader sees of them.
struct LeakGroup {
  LeakClass leak_class = LeakClass::unknown;
  const SiteGroup* place = nullptr;
  BlockSum sum, with;
  uint64_t oldest_ticks = UINT64_MAX, youngest_ticks = 0;
  std::vector<const LeakSite*> sites; // the heaviest first

  uint64_t bytes() const { return sum.bytes + with.bytes; } // what mending it would give back
};
// What to mend first, first: definite losses with what hangs on them, then possible, unknown, reachable.
std::vector<LeakGroup> group_leaks(const LeakReport& report, const std::vector<SiteGroup>& groups);

// Which scan a moment means, as an index into `scans`: of @exit (and when none is asked for) the last one; of
// @mark:NAME the one with that name; of a time the last one before it. nullopt: none.
std::optional<size_t> choose_scan(const std::vector<LeakScan>& scans, const Trace& trace,
                                  const Moment& moment);
// `metrics` and the numbers of leaks: definite.bytes, definite.blocks and so on. Without a scan these have no
// value.
std::vector<Metric> leak_metrics(const LeakReport& report, std::vector<Metric> metrics);
// Why a trace has no scan, in words.
std::string why_not_scanned(const Trace& trace);

} // namespace hl
