// What a replay notes beside the heap itself when it is asked: how the sites stood at a few chosen moments
// (boundaries of generations), when blocks that outlived their generation died, and who freed what.
//
// A generation is the time between two boundaries: generation 0 ends at the first boundary (an event at that
// very tick belongs to it), the last one has no end. With B boundaries there are B + 1 generations.
//
// Noted is only what changed: a site that neither allocated nor lost an old block in a generation has no note
// for it. So the memory is 40 bytes for each site and generation in which the site did something, and a
// replay that is not asked for history pays one untaken branch for a free.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "replay/live_table.h"
#include "replay/replay_result.h"
#include "replay/tally_table.h"

namespace hl {

class Replay;

struct ReplayOptions {
  static constexpr size_t kMaxBoundaries = 64;
  // Ticks, ascending: the last tick of each generation but the last.
  std::vector<uint64_t> boundaries;
  // Indices into `boundaries`, ascending: where the living are counted by the generation of their birth. At
  // the end of the replay they always are.
  std::vector<uint32_t> censuses;
  // Who freed what: by free stack (where frees carry one), by thread and size.
  bool frees = false;
  // The last block freed at each address, see GhostTable.
  bool ghosts = false;
  // Where blocks were freed, see UsedPages.
  bool used_pages = false;
  // Ticks, ascending: `at_stop(index, replay)` is called for each when all events with stamps up to it have
  // been replayed and none after it.
  std::vector<uint64_t> stops;
  std::function<void(size_t, const Replay&)> at_stop;

  bool wants_history() const { return !boundaries.empty() || frees; }
};

// A site at a boundary.
struct SiteNote {
  uint64_t live_bytes = 0;
  uint64_t settled_bytes = 0; // of those, in blocks that were born before the generation that ends here
  uint32_t live_blocks = 0;
  uint32_t settled_blocks = 0;
  uint32_t births = 0; // allocation calls in the generation that ends here, saturating
  uint32_t boundary = 0;
  uint32_t previous = 0; // index of this site's note before; 0: none
  uint32_t reserved = 0;
};
static_assert(sizeof(SiteNote) == 40);

// The whole process at a boundary.
struct ProcessNote {
  uint64_t ticks = 0;
  uint64_t live_bytes = 0, live_blocks = 0;
  uint64_t allocation_calls = 0; // since the start
};

// The living at one moment by site and generation of birth.
class Census {
 public:
  struct Cohort {
    uint32_t generation;
    uint64_t blocks, bytes;
  };
  Census() = default;
  Census(const LiveTable& live, std::span<const uint64_t> boundaries);
  // Ascending by generation, those with none left out.
  std::vector<Cohort> cohorts_of(uint32_t site) const;

 private:
  std::vector<Tally> cells_; // key: site << 8 | generation
};

struct FreedByStack {
  StackId stack;
  bool through_realloc;
  uint64_t blocks, bytes;
};
// Freed blocks of one site that one thread had allocated, in one class of sizes.
struct FreedKin {
  uint32_t thread;
  uint32_t size_class; // 2^(n-1)+1 ... 2^n bytes; 0: 0 and 1
  uint64_t blocks, bytes;
};

class HeapHistory {
 public:
  explicit HeapHistory(ReplayOptions options);

  // For the replay. The first tick after the current generation; UINT64_MAX: it is the last.
  uint64_t generation_end_ticks() const {
    return passed_ < options_.boundaries.size() && options_.boundaries[passed_] != UINT64_MAX
               ? options_.boundaries[passed_] + 1
               : UINT64_MAX;
  }
  void pass_boundary(const ReplayResult& result, const LiveTable& live);
  void block_died(const LiveBlock& block) {
    if (block.birth_ticks <= generation_start_ticks_)
      old_block_died(block);
  }
  void block_freed(const LiveBlock& block, StackId stack, bool through_realloc);
  // Passes what boundaries are left: nothing happened after them.
  void finish(const ReplayResult& result, const LiveTable& live);

  // After finish().
  const ReplayOptions& options() const { return options_; }
  const std::vector<ProcessNote>& process() const { return process_; }
  // One note for each boundary, filled in where nothing changed.
  std::vector<SiteNote> notes_of(uint32_t site) const;
  // Of options().censuses, same index.
  const Census& census(size_t index) const { return censuses_[index]; }
  const Census& census_at_end() const { return at_end_; }

  // Most blocks first; frees without a stack are not among them.
  std::vector<FreedByStack> freed_by_stack(uint32_t site) const;
  std::vector<FreedKin> freed_kin(uint32_t site) const;
  uint64_t frees_left_out() const { return by_stack_.left_out() + kin_.left_out(); }

 private:
  struct OldDeaths {
    uint64_t bytes = 0;
    uint32_t blocks = 0;
  };
  void old_block_died(const LiveBlock& block);

  ReplayOptions options_;
  size_t passed_ = 0;
  uint64_t generation_start_ticks_ = 0; // last tick before it; 0 in the first
  std::vector<SiteNote> notes_{1};
  std::vector<uint32_t> last_note_;   // by site; 0: none
  std::vector<uint64_t> noted_calls_; // by site
  std::vector<OldDeaths> old_deaths_; // by site, in this generation
  std::vector<uint32_t> died_old_;    // sites that have some
  std::vector<ProcessNote> process_;
  std::vector<Census> censuses_;
  Census at_end_;
  TallyTable by_stack_; // key: site << 32 | stack; the highest bit of the site: through realloc
  TallyTable kin_;      // key: site << 32 | thread << 8 | size class
  std::vector<Tally> by_stack_sorted_, kin_sorted_;
};

} // namespace hl
