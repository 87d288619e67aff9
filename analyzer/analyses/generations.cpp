// See generations.h.
#include "analyses/generations.h"

#include <algorithm>
#include <charconv>
#include <map>

#include "reader/extended_payload.h"
#include "replay/batch_pipe.h"

namespace hl {
namespace {

constexpr uint32_t kDefaultSlices = 24;
constexpr size_t kMostMarkGenerations = 48;
constexpr size_t kFewestMarks = 4;
constexpr size_t kMostSamples = 4096;
// Slices of time: a run shorter than this shows its start-up and its end, and little between.
constexpr uint64_t kShortestRunNs = 1'000'000'000;
constexpr uint64_t kFewestCallsPerSlice = 20;
// Fewer judged generations than these do not carry a trend; repeated actions are told apart more sharply than
// slices of time.
constexpr uint32_t kFewestJudgedIterations = 4, kFewestJudgedSlices = 6;

std::string count_of(uint64_t count, std::string_view noun) {
  return std::to_string(count) + " " + std::string(noun) + (count == 1 ? "" : "s");
}

// At most kMostMarkGenerations of them, evenly spaced, the last one kept.
std::vector<ReplayResult::Mark> thin(const std::vector<ReplayResult::Mark>& marks, uint64_t& step) {
  step = (marks.size() + kMostMarkGenerations - 1) / kMostMarkGenerations;
  if (step <= 1) {
    step = 1;
    return marks;
  }
  std::vector<ReplayResult::Mark> kept;
  for (size_t i = (marks.size() - 1) % step; i < marks.size(); i += step)
    kept.push_back(marks[i]);
  return kept;
}

// The name that repeats most often, at least kFewestMarks times. Of a pair that brackets an action ("begin",
// "end") the one that ends it: it comes later at first.
std::string repeated_name(const std::vector<ReplayResult::Mark>& marks) {
  struct Use {
    size_t count = 0, first = 0;
  };
  std::map<std::string, Use> uses;
  for (size_t i = 0; i < marks.size(); ++i) {
    Use& use = uses[marks[i].name];
    if (use.count++ == 0)
      use.first = i;
  }
  std::string best;
  Use most;
  for (const auto& [name, use] : uses)
    if (use.count >= kFewestMarks &&
        (use.count > most.count || (use.count == most.count && use.first > most.first))) {
      most = use;
      best = name;
    }
  return best;
}

void add_marks(Generations& generations, const std::vector<ReplayResult::Mark>& all) {
  const std::vector<ReplayResult::Mark> marks = thin(all, generations.marks_per_generation);
  generations.kind = GenerationOption::Kind::marks;
  const bool one_name = !generations.mark.empty();
  const uint64_t each = generations.marks_per_generation;
  generations.names.push_back("before " + (one_name ? "the first mark" : marks.front().name));
  uint64_t number = (all.size() - 1) % each + 1; // of the mark that begins the generation, from 1
  for (const ReplayResult::Mark& mark : marks) {
    const bool first = generations.boundaries.empty();
    if (!first && mark.ticks <= generations.boundaries.back())
      continue;
    generations.boundaries.push_back(mark.ticks);
    if (!first) {
      if (!one_name)
        generations.names.push_back("to " + mark.name);
      else if (each == 1)
        generations.names.push_back(mark.name + " " + std::to_string(number));
      else
        generations.names.push_back(mark.name + " " + std::to_string(number) + "-" +
                                    std::to_string(number + each - 1));
      number += each;
    }
  }
  generations.names.push_back("after the last mark");
  const size_t between = generations.boundaries.size() - 1;
  generations.description = count_of(between, "generation") + " between " +
                            (one_name ? "marks '" + generations.mark + "'" : std::string("marks")) +
                            (each > 1 ? ", " + std::to_string(each) + " marks each" : "");
  // The first iterations fill what is filled once. What came before the first mark is no iteration at all.
  generations.warm_up = static_cast<uint32_t>(std::min<size_t>(between, std::max<size_t>(1, between / 5)));
  const size_t judged = between - generations.warm_up;
  if (judged < kFewestJudgedIterations)
    generations.too_short = "only " + count_of(between, "iteration") + " between marks; " +
                            std::to_string(kFewestJudgedIterations + 1) + " are needed";
}

void judge_slices(Generations& generations, const TraceCourse& course, const TraceClock& clock) {
  const auto boundaries = static_cast<uint32_t>(generations.boundaries.size());
  // A quarter of the run counts as warm-up.
  generations.warm_up = (boundaries + 3) / 4 > 0 ? (boundaries + 3) / 4 - 1 : 0;
  const uint32_t judged = boundaries == 0 ? 0 : boundaries - 1 - generations.warm_up;
  const uint64_t run_ns = clock.ns(course.last_ticks) - clock.ns(course.first_ticks);
  if (course.allocation_calls < kFewestCallsPerSlice * kFewestJudgedSlices)
    generations.too_short = "the program made only " + count_of(course.allocation_calls, "allocation call");
  else if (generations.kind == GenerationOption::Kind::time && run_ns < kShortestRunNs)
    generations.too_short = "the run lasted only " + std::to_string(run_ns / 1'000'000) +
                            " ms; marks (heapledger_mark) or --generations allocations:24 tell short runs";
  else if (judged < kFewestJudgedSlices)
    generations.too_short = "only " + count_of(judged, "slice") + " beyond the warm-up";
}

void add_time_slices(Generations& generations, const TraceCourse& course, const TraceClock& clock,
                     uint32_t slices) {
  generations.kind = GenerationOption::Kind::time;
  const uint64_t span = course.last_ticks - course.first_ticks;
  for (uint32_t i = 1; i < slices; ++i) {
    const auto into = static_cast<uint64_t>(static_cast<__uint128_t>(span) * i / slices);
    if (into != 0 &&
        (generations.boundaries.empty() || course.first_ticks + into > generations.boundaries.back()))
      generations.boundaries.push_back(course.first_ticks + into);
  }
  for (uint32_t i = 1; i <= generations.boundaries.size() + 1; ++i)
    generations.names.push_back("slice " + std::to_string(i));
  generations.description = count_of(generations.boundaries.size() + 1, "equal slice") + " of time";
  judge_slices(generations, course, clock);
}

void add_call_slices(Generations& generations, const TraceCourse& course, const TraceClock& clock,
                     uint32_t slices) {
  generations.kind = GenerationOption::Kind::allocations;
  for (uint32_t i = 1; i < slices; ++i) {
    const auto calls = static_cast<uint64_t>(static_cast<__uint128_t>(course.allocation_calls) * i / slices);
    const uint64_t sample = calls / course.calls_a_sample;
    if (sample == 0 || sample > course.call_samples.size())
      continue;
    const uint64_t ticks = course.call_samples[sample - 1];
    if (generations.boundaries.empty() || ticks > generations.boundaries.back())
      generations.boundaries.push_back(ticks);
  }
  for (uint32_t i = 1; i <= generations.boundaries.size() + 1; ++i)
    generations.names.push_back("slice " + std::to_string(i));
  generations.description =
      count_of(generations.boundaries.size() + 1, "slice") + " of as many allocation calls each";
  judge_slices(generations, course, clock);
}

} // namespace

std::optional<GenerationOption> parse_generation_option(std::string_view text) {
  GenerationOption option;
  const size_t colon = text.find(':');
  const std::string_view kind = text.substr(0, colon);
  const std::string_view rest = colon == std::string_view::npos ? "" : text.substr(colon + 1);
  if (text == "automatic")
    return option;
  if (kind == "marks") {
    option.kind = GenerationOption::Kind::marks;
    option.mark = std::string(rest);
    if (colon != std::string_view::npos && rest.empty())
      return {};
    return option;
  }
  if (kind != "time" && kind != "allocations")
    return {};
  option.kind = kind == "time" ? GenerationOption::Kind::time : GenerationOption::Kind::allocations;
  option.slices = kDefaultSlices;
  if (colon == std::string_view::npos)
    return option;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), option.slices);
  if (error != std::errc() || end != rest.data() + rest.size() || option.slices < 2 ||
      option.slices > ReplayOptions::kMaxBoundaries)
    return {};
  return option;
}

TraceCourse survey_course(const Trace& trace, ReplayLimits limits, const ProgressCallback& progress) {
  TraceCourse course;
  EventStream stream(trace, {.in_order = true, .from_ticks = 0, .to_ticks = limits.last_ticks});
  BatchPipe pipe(stream);
  uint64_t steps = 0;
  uint64_t until_sample = 1;
  while (const EventBatch* batch = pipe.next()) {
    if (progress)
      progress(stream);
    for (const TraceEvent& event : batch->events) {
      if (event.ticks > limits.last_ticks || steps >= limits.last_step)
        return course;
      ++steps;
      if (course.first_ticks == 0)
        course.first_ticks = event.ticks;
      course.last_ticks = std::max(course.last_ticks, event.ticks);
      if (event.kind == EventKind::extended) [[unlikely]] {
        ProcessCall call;
        if (event.extended_kind != ExtendedKind::mark ||
            !parse_process_call(event.extended_kind, batch->payload_of(event), call))
          continue;
        if (course.marks.size() < TraceCourse::kMaxMarks)
          course.marks.push_back({std::string(call.text), event.ticks, 0});
        else
          ++course.marks_left_out;
      } else if (!event.frees()) {
        ++course.allocation_calls;
        if (--until_sample != 0)
          continue;
        until_sample = course.calls_a_sample;
        course.call_samples.push_back(event.ticks);
        if (course.call_samples.size() < kMostSamples)
          continue;
        // Every other one stays: the second, the fourth ...
        for (size_t i = 0; i < kMostSamples / 2; ++i)
          course.call_samples[i] = course.call_samples[2 * i + 1];
        course.call_samples.resize(kMostSamples / 2);
        course.calls_a_sample *= 2;
        until_sample = course.calls_a_sample;
      }
    }
  }
  return course;
}

std::optional<Generations> choose_generations(const TraceCourse& course, const TraceClock& clock,
                                              const GenerationOption& option, std::string& why) {
  Generations generations;
  switch (option.kind) {
  case GenerationOption::Kind::marks: {
    std::vector<ReplayResult::Mark> marks;
    for (const ReplayResult::Mark& mark : course.marks)
      if (option.mark.empty() || mark.name == option.mark)
        marks.push_back(mark);
    if (marks.size() < 2) {
      why = option.mark.empty()
                ? "this trace has " + count_of(marks.size(), "mark")
                : "this trace has " + count_of(marks.size(), "mark") + " '" + option.mark + "'";
      why += "; generations need two at least";
      return {};
    }
    generations.mark = option.mark;
    add_marks(generations, marks);
    break;
  }
  case GenerationOption::Kind::time:
    add_time_slices(generations, course, clock, option.slices);
    break;
  case GenerationOption::Kind::allocations:
    add_call_slices(generations, course, clock, option.slices);
    break;
  case GenerationOption::Kind::automatic: {
    Generations by_marks;
    by_marks.mark = repeated_name(course.marks);
    std::vector<ReplayResult::Mark> marks;
    for (const ReplayResult::Mark& mark : course.marks)
      if (by_marks.mark.empty() || mark.name == by_marks.mark)
        marks.push_back(mark);
    if (marks.size() >= kFewestMarks)
      add_marks(by_marks, marks);
    if (marks.size() >= kFewestMarks && by_marks.too_short.empty())
      return by_marks;
    const uint64_t affordable = course.allocation_calls / kFewestCallsPerSlice;
    add_time_slices(generations, course, clock,
                    static_cast<uint32_t>(std::clamp<uint64_t>(affordable, 2, kDefaultSlices)));
    // Too few marks to tell growth still tell what stayed between them, if slices tell no more.
    if (marks.size() >= kFewestMarks && !generations.too_short.empty())
      return by_marks;
    break;
  }
  }
  return generations;
}

ReplayOptions history_options(const Generations& generations, bool frees) {
  ReplayOptions options;
  options.boundaries = generations.boundaries;
  options.frees = frees;
  if (!options.boundaries.empty()) {
    // At three quarters of the judged generations, and at their end.
    const auto last = static_cast<uint32_t>(options.boundaries.size() - 1);
    const uint32_t quarter = std::max<uint32_t>(1, (last - std::min(last, generations.warm_up)) / 4);
    if (last >= quarter)
      options.censuses.push_back(last - quarter);
    options.censuses.push_back(last);
  }
  return options;
}

} // namespace hl
