// Everything the fragmentation of one trace is told from: the heap and its pages at the sample of a moment,
// and the heap at samples over the whole trace, from one replay.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "analyses/heap_replay.h"
#include "analyses/moment.h"
#include "fragmentation/blame.h"
#include "fragmentation/measures.h"
#include "fragmentation/page_accounts.h"
#include "reader/memory_samples.h"

namespace hl {

// Live blocks of one usable size, or of a range of them.
struct SlackClass {
  uint64_t from_usable = 0, to_usable = 0;
  uint64_t blocks = 0, requested = 0, slack = 0; // resident or not
};

// One heap of glibc's: the main one, or that of a further arena.
struct ArenaUse {
  uint64_t start = 0;
  AccountBytes bytes;
};

class FragmentationStudy {
 public:
  // Throws TraceError. nullptr: there is no such moment in this trace, `why` says why.
  static std::unique_ptr<FragmentationStudy> make(const Trace& trace, const Moment& moment,
                                                  const ProgressCallback& progress, std::string& why);

  FragmentationStudy(const FragmentationStudy&) = delete;
  FragmentationStudy& operator=(const FragmentationStudy&) = delete;

  // Replayed to the end of the trace, or, without samples, to the moment.
  HeapReplay heap;
  // The sample that was taken for the moment, without its texts and pages; nullopt: the trace has none, and
  // residency is assumed.
  std::optional<ResidencySample> sample;
  std::string without_sample; // why there is none
  uint64_t ticks = 0;         // of what follows
  uint64_t live_bytes = 0, live_blocks = 0;
  PageAccounts accounts;
  std::vector<SlackClass> slack_classes; // most slack first
  std::vector<ArenaUse> arenas;          // of glibc, by address; the main heap first
  // Of glibc: blocks of 128 KiB and more that lie in a heap rather than in a mapping of their own; requested.
  uint64_t large_in_heap_blocks = 0, large_in_heap_bytes = 0;
  uint64_t forgotten_ghosts = 0;

  std::vector<HeapPoint> points; // by time
  std::optional<size_t> point;   // the one of `sample`
  size_t samples = 0;            // in the trace; of them `points` were looked at
  Measures measures;

  // Of the same moment as `accounts`.
  const RegionMap& map() const { return map_; }
  // Stacks that answers need frames of: of what allocated, and of frees that made holes.
  std::vector<StackId> stacks() const;
  // By owner, see blame_pages().
  std::vector<Charge> blame(std::span<const uint32_t> owner_of_site, size_t owners) const;
  WhatIf apart(const std::vector<bool>& moved_sites) const;

 private:
  FragmentationStudy() = default;
  class Maker;
  PageSources sources() const;

  std::optional<ResidencySample> whole_; // with pages
  RegionMap map_;
  std::vector<HeapBlock> blocks_;
  std::optional<UsedPages> used_; // as of the moment
  std::vector<Ghost> ghosts_;
};

} // namespace hl
