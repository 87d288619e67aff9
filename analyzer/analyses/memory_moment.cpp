// See memory_moment.h.
#include "analyses/memory_moment.h"

#include <algorithm>
#include <set>

namespace hl {
namespace {

uint64_t distance(uint64_t a, uint64_t b) {
  return a > b ? a - b : b - a;
}

bool is_taken_for(const ResidencySample& sample, const std::string& mark) {
  return (sample.cause == SampleCause::mark || sample.cause == SampleCause::request) && sample.name == mark;
}

uint64_t rss_of(const ResidencySample& sample) {
  return std::max(sample.usage.of(UsageField::rollup_rss), sample.usage.of(UsageField::rss));
}

} // namespace

std::optional<size_t> sample_for(std::span<const ResidencySample> listed, const Moment& moment,
                                 const ReplayLimits& limits) {
  if (listed.empty())
    return std::nullopt;
  if (moment.kind == Moment::Kind::exit) {
    // What came due while the process went away after its own sample is of a process that is half gone.
    for (size_t i = listed.size(); i-- != 0;)
      if (listed[i].cause == SampleCause::exit)
        return i;
    return listed.size() - 1;
  }
  if (moment.kind == Moment::Kind::mark)
    for (size_t i = 0; i < listed.size(); ++i)
      if (is_taken_for(listed[i], moment.mark))
        return i;
  const auto nearest = std::min_element(listed.begin(), listed.end(), [&](const auto& a, const auto& b) {
    return distance(a.ticks, limits.last_ticks) < distance(b.ticks, limits.last_ticks);
  });
  return static_cast<size_t>(nearest - listed.begin());
}

std::optional<size_t> largest_sample(std::span<const ResidencySample> listed) {
  if (listed.empty())
    return std::nullopt;
  const auto largest = std::max_element(listed.begin(), listed.end(),
                                        [](const auto& a, const auto& b) { return rss_of(a) < rss_of(b); });
  return static_cast<size_t>(largest - listed.begin());
}

std::string why_no_samples(const Trace& trace) {
  const std::string what = "this trace has no samples of the process's memory";
  if (trace.session_image() != nullptr && trace.file() == nullptr)
    return what + ": no recorder ran beside it";
  return what + "; record without --sample-budget 0, or ask for one with 'heapledger snapshot PID'";
}

std::vector<size_t> spread_samples(std::span<const ResidencySample> listed, size_t most,
                                   std::optional<size_t> always) {
  std::set<size_t> chosen;
  if (listed.size() <= most) {
    for (size_t i = 0; i < listed.size(); ++i)
      chosen.insert(i);
    return {chosen.begin(), chosen.end()};
  }
  chosen = {0, listed.size() - 1};
  if (always)
    chosen.insert(*always);
  chosen.insert(*largest_sample(listed));
  const uint64_t first = listed.front().ticks, span = listed.back().ticks - first;
  size_t at = 0;
  for (size_t step = 1; step < most && chosen.size() < most; ++step) {
    const double share = static_cast<double>(step) / static_cast<double>(most);
    const uint64_t wanted = first + static_cast<uint64_t>(static_cast<double>(span) * share);
    while (at + 1 < listed.size() && listed[at].ticks < wanted)
      ++at;
    chosen.insert(at);
  }
  return {chosen.begin(), chosen.end()};
}

HeapReplay replay_samples(const Trace& trace, std::span<const ResidencySample> listed,
                          std::span<const size_t> chosen, const SampleVisitor& visit, bool to_the_end,
                          const ProgressCallback& progress, ReplayOptions options) {
  ReplayLimits limits;
  if (!to_the_end && !chosen.empty())
    limits.last_ticks = listed[chosen.back()].ticks;
  options.stops.clear();
  for (const size_t index : chosen)
    options.stops.push_back(listed[index].ticks);
  options.at_stop = [&](size_t stop, const Replay& replay) {
    const size_t index = chosen[stop];
    if (const auto sample = load_residency_sample(trace, listed[index]))
      visit(index, *sample, replay);
  };
  return replay_heap(trace, limits, progress, std::move(options));
}

} // namespace hl
