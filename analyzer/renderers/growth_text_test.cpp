// Growth and missing frees in words.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include "renderers/growth_text.h"

using namespace hl;

namespace {

Generations iterations_of_marks(size_t marks) {
  Generations generations;
  generations.kind = GenerationOption::Kind::marks;
  generations.mark = "served";
  generations.warm_up = 1;
  for (size_t i = 0; i < marks; ++i)
    generations.boundaries.push_back(1000 * (i + 1));
  for (size_t i = 0; i <= marks; ++i)
    generations.names.push_back("served with a long name that does not fit " + std::to_string(i));
  generations.description = "generations between marks 'served'";
  return generations;
}

} // namespace

TEST_CASE("how siblings were freed and which way survivors took is one sentence") {
  const TextStyle style;
  const std::vector<ThreadTotals> threads(3);
  MissingFree missing;
  missing.survivors = 9310;
  missing.freed_blocks = 412000;
  CHECK(missing_free_sentence(missing, threads, style) == "412,000 siblings were freed");
  CHECK(missing_free_hint(missing).find("--free-stacks") != std::string::npos);
  missing.free_stacks_known = true;
  FreedBy by_close;
  by_close.function = "Session::close(int)";
  by_close.blocks = 412000;
  missing.freed_by.push_back(by_close);
  missing.distinction.kind = Distinction::Kind::function;
  missing.distinction.function = "handle_timeout(Request const&)";
  missing.distinction.share_of_survivors = 1;
  CHECK(missing_free_sentence(missing, threads, style) ==
        "412,000 siblings were freed by Session::close; the 9,310 survivors all came through handle_timeout");
  CHECK(missing_free_hint(missing).empty());
  missing.distinction.share_of_survivors = 0.957;
  missing.freed_by[0].blocks = 400000;
  FreedBy by_realloc;
  by_realloc.function = "purge";
  by_realloc.through_realloc = true;
  by_realloc.blocks = 10000;
  missing.freed_by.push_back(by_realloc);
  missing.freed_otherwise = 2000;
  CHECK(missing_free_sentence(missing, threads, style) ==
        "412,000 siblings were freed by Session::close (97.1 %), realloc in purge (2.4 %) and others; "
        "95.7 % of the 9,310 survivors came through handle_timeout");
  missing.distinction = {};
  CHECK(missing_free_sentence(missing, threads, style).find("survivors") == std::string::npos);
  missing.freed_blocks = 0;
  CHECK(missing_free_sentence(missing, threads, style) == "no block from here was ever freed");
  missing.survivors = 0;
  CHECK(missing_free_sentence(missing, threads, style).empty());
}

TEST_CASE("growth is one clause, and a doubt is said") {
  const TextStyle style;
  const Generations generations = iterations_of_marks(6);
  Growth growth;
  growth.verdict = GrowthVerdict::growing;
  growth.confidence = GrowthConfidence::high;
  growth.bytes_per_second = {1024, 512, 2048};
  growth.bytes_per_generation = {64, 64, 64};
  growth.survivor_blocks = {0, 1, 1, 1, 1, 1, 1};
  growth.oldest_blocks = 2;
  CHECK(growth_clause(growth, generations, style) ==
        "grows by 64 B an iteration, 3.52 MiB an hour (1.76 MiB to 7.03 MiB), in each of 4 iterations, "
        "and none of the oldest is ever freed");
  growth.confidence = GrowthConfidence::low;
  growth.reason = "perhaps a cache";
  growth.survivor_blocks[3] = 0;
  const std::string doubt = growth_clause(growth, generations, style);
  CHECK(doubt.find("may be growing") == 0);
  CHECK(doubt.find("in 3 of 4 iterations") != std::string::npos);
  CHECK(doubt.find("perhaps a cache") != std::string::npos);
  growth.verdict = GrowthVerdict::bounded;
  growth.since_ns = 3'000'000'000;
  CHECK(growth_clause(growth, generations, style).find("plateau since 3") != std::string::npos);
  growth.verdict = GrowthVerdict::none;
  CHECK(growth_clause(growth, generations, style).empty());
}

TEST_CASE("the table of iterations fits, however many there are and whatever their names") {
  const Generations generations = iterations_of_marks(40);
  std::vector<SiteGroup> groups(1);
  groups[0].function = std::string(200, 'f');
  std::vector<GrowthAnalysis::Iteration> iterations(41);
  for (size_t i = 0; i < iterations.size(); ++i) {
    iterations[i].name = generations.names[i];
    iterations[i].live_bytes = uint64_t{1} << i;
    iterations[i].allocation_calls = 1'000'000'000;
    iterations[i].survivor_bytes = 123456789;
    iterations[i].survivor_blocks = 123456789;
    iterations[i].top.push_back({0, 1, 1});
  }
  const std::string text = iterations_text(iterations, generations, groups, TextStyle{});
  size_t lines = 0, begin = 0;
  for (size_t end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1, ++lines)
    CHECK(display_width(text.substr(begin, end - begin)) <= 100);
  CHECK(lines < 30);
  CHECK(text.find("What stayed after each iteration") != std::string::npos);
}
