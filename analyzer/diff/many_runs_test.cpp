// Several runs a side: put together, and judged.
#include "diff/many_runs.h"

#include <doctest/doctest.h>

#include <memory>
#include <stdexcept>

#include "testing/profile_maker.h"

namespace hl {
namespace {

using testing::MadeFrame;
using testing::ProfileMaker;
using enum ProfileMetric;

constexpr uint64_t kMiB = uint64_t{1} << 20;

struct Run {
  uint64_t loads; // bytes of the site that varies
  uint64_t fixed = kMiB;
  bool other = false; // has a site that the rest has not
};

RunProfile run(const Run& what) {
  ProfileMaker maker;
  const MadeFrame main{"main"};
  maker.site({{"load", "/src/load.cpp", 7}, main}, 100, what.loads);
  maker.site({{"fixed", "/src/fixed.cpp", 9}, main}, 10, what.fixed);
  if (what.other)
    maker.site({{"other", "/src/other.cpp", 3}, main}, 1, 100);
  maker.profile.marks = {{"request", 10}};
  return std::move(maker.profile);
}

struct Compared {
  std::unique_ptr<RunSet> base, next;
  std::unique_ptr<RunDiff> diff;
  std::unique_ptr<ManyRuns> many;

  const ShiftOfRuns& site(std::string_view function, ProfileMetric metric = peak_bytes) const {
    for (size_t i = 0; i < diff->sites().size(); ++i) {
      const RunDiff::Place place = diff->place(diff->sites()[i]);
      const RunProfile& profile = diff->profile(place.side);
      if (profile.function(profile.frames[place.frame]) == function)
        return many->site(metric, i);
    }
    throw std::out_of_range("no such site");
  }
};

Compared compare(const std::vector<Run>& base, const std::vector<Run>& next) {
  static const RenameMap kNone;
  Compared result;
  const auto set = [](const std::vector<Run>& of, const char* name) {
    std::vector<RunProfile> profiles;
    for (const Run& what : of)
      profiles.push_back(run(what));
    return std::make_unique<RunSet>(std::move(profiles), "", name);
  };
  result.base = set(base, "base");
  result.next = set(next, "new");
  result.diff = std::make_unique<RunDiff>(result.base->median(), result.next->median(), kNone, DiffOptions{});
  result.many = std::make_unique<ManyRuns>(*result.base, *result.next, *result.diff);
  return result;
}

} // namespace

TEST_CASE("runs that agree are compared exactly, two a side are enough") {
  const Compared c = compare({{kMiB}, {kMiB}}, {{kMiB + 1}, {kMiB + 1}});
  CHECK(c.many->exact(peak_bytes));
  CHECK(c.many->total(peak_bytes).verdict == ShiftVerdict::grew);
  CHECK(c.many->total(peak_bytes).exact);
  CHECK(c.many->total(peak_bytes).shift.estimate == 1);
  CHECK(c.site("load").verdict == ShiftVerdict::grew);
  CHECK(c.site("fixed").verdict == ShiftVerdict::same);
  CHECK(c.many->total(allocation_calls).verdict == ShiftVerdict::same);
}

TEST_CASE("three noisy runs a side cannot tell, five can") {
  const std::vector<Run> base3{{50 * kMiB}, {51 * kMiB}, {52 * kMiB}};
  const std::vector<Run> next3{{60 * kMiB}, {61 * kMiB}, {62 * kMiB}};
  const Compared few = compare(base3, next3);
  CHECK(!few.many->enough());
  CHECK(few.many->total(peak_bytes).verdict == ShiftVerdict::undecided);
  CHECK(few.site("load").verdict == ShiftVerdict::undecided);
  CHECK(few.site("fixed").verdict == ShiftVerdict::same);

  std::vector<Run> base5 = base3, next5 = next3;
  base5.insert(base5.end(), {{50 * kMiB + 7}, {51 * kMiB + 7}});
  next5.insert(next5.end(), {{60 * kMiB + 7}, {61 * kMiB + 7}});
  const Compared many = compare(base5, next5);
  CHECK(many.many->enough());
  const ShiftOfRuns& total = many.many->total(peak_bytes);
  CHECK(total.verdict == ShiftVerdict::grew);
  CHECK(total.p == doctest::Approx(2.0 / 252));
  CHECK(total.base.median == 51.0 * kMiB + kMiB);
  CHECK(total.shift.low > 8.0 * kMiB);
  CHECK(many.site("load").verdict == ShiftVerdict::grew);
  CHECK(many.diff->sites()[0].next[peak_bytes] == 61 * kMiB);
}

TEST_CASE("what lies within the spread of a side is noise, what is below the floor is small") {
  const std::vector<Run> noisy{{50 * kMiB}, {53 * kMiB}, {51 * kMiB}, {54 * kMiB}, {52 * kMiB}};
  const std::vector<Run> like{{52 * kMiB}, {50 * kMiB}, {54 * kMiB}, {53 * kMiB}, {51 * kMiB + 1}};
  CHECK(compare(noisy, like).many->total(peak_bytes).verdict == ShiftVerdict::noise);
  // All above, but by less than runs of one side differ by.
  const std::vector<Run> just_above{
      {54 * kMiB + 1}, {54 * kMiB + 2}, {54 * kMiB + 3}, {54 * kMiB + 4}, {55 * kMiB}};
  const Compared shifted = compare(noisy, just_above);
  CHECK(shifted.many->total(peak_bytes).q < 0.05);
  CHECK(shifted.many->total(peak_bytes).verdict == ShiftVerdict::noise);

  const std::vector<Run> a{{1000}, {1001}, {1002}, {1003}, {1004}}, b{{2000}, {2001}, {2002}, {2003}, {2004}};
  CHECK(compare(a, b).many->total(peak_bytes).verdict == ShiftVerdict::small);
}

TEST_CASE("a site that agrees among noisy ones is exact from three runs on") {
  const auto runs = [](size_t count, uint64_t fixed) {
    std::vector<Run> result;
    for (size_t i = 0; i < count; ++i)
      result.push_back({50 * kMiB + i * kMiB, fixed});
    return result;
  };
  CHECK(compare(runs(2, kMiB), runs(2, 2 * kMiB)).site("fixed").verdict == ShiftVerdict::undecided);
  const Compared c = compare(runs(3, kMiB), runs(3, 2 * kMiB));
  CHECK(!c.many->exact(peak_bytes));
  CHECK(c.site("fixed").exact);
  CHECK(c.site("fixed").verdict == ShiftVerdict::grew);
  CHECK(compare(runs(3, kMiB), runs(3, kMiB + 100)).site("fixed").verdict == ShiftVerdict::small);
}

TEST_CASE("sites of only some runs count as nothing in the others") {
  const Compared c = compare({{kMiB, kMiB, true}, {kMiB}, {kMiB}}, {{kMiB}, {kMiB}, {kMiB}});
  CHECK(c.base->median().sites.size() == 3);
  CHECK(c.base->site(0, 2, bytes_requested) == 100);
  CHECK(c.base->site(1, 2, bytes_requested) == 0);
  CHECK(c.site("other").verdict == ShiftVerdict::small);
}

TEST_CASE("flows are divided by each run's own units of work") {
  std::vector<RunProfile> runs;
  runs.push_back(run({kMiB}));
  runs.push_back(run({2 * kMiB}));
  runs.back().marks = {{"request", 20}};
  const RunSet set(runs, "request", "base");
  CHECK(set.totals(allocation_calls) == std::vector<double>{11, 5.5});
  CHECK(set.totals(peak_bytes) == std::vector<double>{2.0 * kMiB, 3.0 * kMiB});
  CHECK_THROWS_AS(RunSet(runs, "response", "base"), std::invalid_argument);
}

TEST_CASE("one run a side tells nothing about noise") {
  const Compared c = compare({{50 * kMiB}}, {{60 * kMiB}});
  CHECK(!c.many->exact(peak_bytes));
  CHECK(c.many->total(peak_bytes).verdict == ShiftVerdict::undecided);
}

} // namespace hl
