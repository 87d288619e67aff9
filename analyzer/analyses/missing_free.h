// Missing free: how the freed siblings of leaked blocks were freed, and what tells the leaked ones from them.
//
// Siblings are blocks of the same sites. What tells survivors apart is looked for in this order: a function
// on the stacks that allocated them, the thread, the size, the time of their birth. It must hold for at least
// 90 % of the survivors and for at most 10 % of the freed siblings, by blocks; otherwise nothing is claimed.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "analyses/generations.h"
#include "analyses/stack_resolver.h"
#include "replay/replay.h"

namespace hl {

struct FreedBy {
  std::string function; // the leading frame of the stack that freed: its innermost frame of the program's own
  std::string_view file;
  uint32_t line = 0;
  StackId stack = 0; // of those that the function leads, the one that freed most
  bool through_realloc = false;
  uint64_t blocks = 0, bytes = 0;
};

struct Distinction {
  enum class Kind : uint8_t { none, function, thread, size, period };
  Kind kind = Kind::none;
  std::string function;                  // function: as the frames name it
  uint32_t thread = 0;                   // thread: index
  uint64_t from_bytes = 0, to_bytes = 0; // size: both inclusive
  uint64_t from_ns = 0, to_ns = 0;       // period: of the trace's time
  double share_of_survivors = 0, share_of_freed = 0;
};
std::string_view to_string(Distinction::Kind kind);

struct MissingFree {
  uint64_t survivors = 0; // the leaked blocks asked about
  uint64_t freed_blocks = 0;
  bool free_stacks_known = false; // frees of these sites carry stacks
  std::vector<FreedBy> freed_by;  // most blocks first, at most kMaxFreedBy; where stacks are known
  uint64_t freed_otherwise = 0;   // by functions beyond those, or without a stack
  Distinction distinction;

  static constexpr size_t kMaxFreedBy = 5;
};

// Stacks that freed blocks of these sites: to be resolved before missing_free() is asked.
std::vector<StackId> freeing_stacks(const Replay& replay, std::span<const uint32_t> sites);

// `sites`: those of a group, also such as leaked nothing; `leaked`: blocks of these sites. The replay was
// made with history_options(generations, true). The stacks of the sites and freeing_stacks(sites) are
// resolved.
MissingFree missing_free(const Replay& replay, const Generations& generations, const TraceClock& clock,
                         const StackResolver& resolver, std::span<const uint32_t> sites,
                         std::span<const LiveBlock> leaked);

} // namespace hl
