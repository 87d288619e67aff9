// How the time of a trace is cut into generations, so that growth can be told from what a program holds
// anyway: at marks, or into equal slices of time or of allocation calls. Takes a pass of its own over the
// trace, since marks, the end and the number of calls are known only then.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "analyses/trace_summary.h"
#include "replay/heap_history.h"
#include "replay/replay.h"

namespace hl {

// --generations: automatic | marks | marks:NAME | time:N | allocations:N
struct GenerationOption {
  enum class Kind : uint8_t { automatic, marks, time, allocations };
  Kind kind = Kind::automatic;
  std::string mark;    // marks: only those of this name; empty: all
  uint32_t slices = 0; // time, allocations: 2 ... ReplayOptions::kMaxBoundaries
};
// nullopt: not one.
std::optional<GenerationOption> parse_generation_option(std::string_view text);

// What the first pass finds.
struct TraceCourse {
  static constexpr size_t kMaxMarks = 1u << 16; // beyond: only counted
  std::vector<ReplayResult::Mark> marks;        // `step` is not told
  uint64_t marks_left_out = 0;
  uint64_t first_ticks = 0, last_ticks = 0;
  uint64_t allocation_calls = 0;
  // The tick of every calls_a_sample-th allocation call.
  std::vector<uint64_t> call_samples;
  uint64_t calls_a_sample = 1;
};
TraceCourse survey_course(const Trace& trace, ReplayLimits limits, const ProgressCallback& progress);

struct Generations {
  GenerationOption::Kind kind = GenerationOption::Kind::time; // never automatic
  std::string mark;                  // marks: all of this name; empty: marks of several names
  uint64_t marks_per_generation = 1; // more than one where there are more marks than generations
  std::vector<uint64_t> boundaries;  // as in ReplayOptions; strictly ascending
  std::vector<std::string> names;    // of each generation, boundaries.size() + 1 of them
  // The boundaries between which growth is judged. What comes before is warm-up; what comes after the last
  // one may be the program tearing itself down.
  uint32_t warm_up = 0;    // index into boundaries: the judgement begins there
  std::string description; // "24 equal slices of time", "12 generations between marks 'request'"
  std::string too_short;   // why nothing can be told of this trace; empty: something can
};
// `why`: set where the option asks for what the trace does not have (marks of that name); then nullopt.
std::optional<Generations> choose_generations(const TraceCourse& course, const TraceClock& clock,
                                              const GenerationOption& option, std::string& why);

// What a replay must be asked for so that growth (and, with `frees`, missing frees) can be told.
ReplayOptions history_options(const Generations& generations, bool frees);

} // namespace hl
