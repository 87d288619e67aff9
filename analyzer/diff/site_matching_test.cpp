// Which sites count as one place, and by which tier.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include "diff/run_diff.h"
#include "testing/profile_maker.h"

using namespace hl;
using namespace hl::testing;

namespace {

// What everybody has around the sites of a test, so that rare functions are rare.
void add_crowd(ProfileMaker& maker) {
  for (int i = 0; i < 20; ++i)
    maker.site({{"crowd_" + std::to_string(i), "/src/app/crowd.cpp"}, {"run"}, {"main"}}, 1, 10);
}

const DiffSite* site_named(const RunDiff& diff, std::string_view function) {
  for (const DiffSite& site : diff.sites()) {
    const RunDiff::Place place = diff.place(site);
    if (diff.profile(place.side).function(diff.profile(place.side).frames[place.frame]) == function)
      return &site;
  }
  return nullptr;
}

size_t count(const RunDiff& diff, SiteStatus status) {
  size_t found = 0;
  for (const DiffSite& site : diff.sites())
    found += site.status == status ? 1 : 0;
  return found;
}

const RenameMap kNoRenames;

} // namespace

TEST_CASE("lines and the build directory do not matter") {
  ProfileMaker base, next;
  base.site({{"load", "/tmp/a/src/load.cpp", 10}, {"main", "/tmp/a/src/main.cpp", 5}}, 3, 300);
  next.site({{"load", "/home/b/src/load.cpp", 50}, {"main", "/home/b/src/main.cpp", 45}}, 3, 300);
  const RunDiff diff(base.profile, next.profile, kNoRenames, {});
  REQUIRE(diff.sites().size() == 1);
  CHECK(diff.sites()[0].match == MatchTier::exact);
  CHECK(diff.sites()[0].status == SiteStatus::same);
  CHECK(diff.names().moved_files().empty());
}

TEST_CASE("allocator and runtime frames do not matter") {
  ProfileMaker base, next;
  base.site({{"malloc", "", 0, "/lib/libc.so.6", kFrameAllocator},
             {"std::vector<int>::push_back", "/usr/include/c++/12/v.h", 9, "/opt/app", kFrameRuntime},
             {"load"},
             {"main"}},
            3, 300);
  next.site({{"operator new", "", 0, "/lib/libstdc++.so.6", kFrameAllocator}, {"load"}, {"main"}}, 3, 300);
  const RunDiff diff(base.profile, next.profile, kNoRenames, {});
  REQUIRE(diff.sites().size() == 1);
  CHECK(diff.sites()[0].match == MatchTier::exact);
}

TEST_CASE("clones and lambda numbers match canonically") {
  ProfileMaker base, next;
  base.site({{"work.part.0"}, {"main::{lambda(int)#1}::operator()(int) const"}, {"main"}}, 3, 300);
  next.site({{"work.isra.0"}, {"main::$_3::operator()(int) const"}, {"main"}}, 3, 300);
  const RunDiff diff(base.profile, next.profile, kNoRenames, {});
  REQUIRE(diff.sites().size() == 1);
  CHECK(diff.sites()[0].match == MatchTier::canonical);
}

TEST_CASE("template arguments tell instances apart") {
  ProfileMaker base, next;
  base.site({{"fill<int>()"}, {"main"}}, 3, 300);
  base.site({{"fill<long>()"}, {"main"}}, 5, 900);
  next.site({{"fill<long>() [clone .cold]"}, {"main"}}, 5, 900);
  next.site({{"fill<int>() [clone .cold]"}, {"main"}}, 3, 300);
  const RunDiff diff(base.profile, next.profile, kNoRenames, {});
  REQUIRE(diff.sites().size() == 2);
  CHECK(count(diff, SiteStatus::same) == 2);
}

TEST_CASE("a call added between two others of a function is the one that was added") {
  ProfileMaker base, next;
  base.site({{"load", "/src/l.cpp", 10}, {"main"}}, 3, 300);
  base.site({{"load", "/src/l.cpp", 20}, {"main"}}, 50, 100'000);
  next.site({{"load", "/src/l.cpp", 12}, {"main"}}, 3, 300);
  next.site({{"load", "/src/l.cpp", 15}, {"main"}}, 7, 4000);
  next.site({{"load", "/src/l.cpp", 22}, {"main"}}, 50, 100'000);
  const RunDiff diff(base.profile, next.profile, kNoRenames, {});
  CHECK(count(diff, SiteStatus::same) == 2);
  REQUIRE(count(diff, SiteStatus::added) == 1);
  CHECK(diff.sites()[0].next[ProfileMetric::bytes_requested] == 4000);
}

TEST_CASE("a site that was split over two lines is still one") {
  ProfileMaker base, next;
  base.site({{"load", "/src/l.cpp", 10}, {"main"}}, 5, 500);
  next.site({{"load", "/src/l.cpp", 10}, {"main"}}, 2, 200);
  next.site({{"load", "/src/l.cpp", 11}, {"main"}}, 3, 300);
  const RunDiff diff(base.profile, next.profile, kNoRenames, {});
  REQUIRE(diff.sites().size() == 1);
  CHECK(diff.sites()[0].status == SiteStatus::same);
  CHECK(diff.sites()[0].new_sites.size() == 2);
}

TEST_CASE("a frame that one build inlined away is a fuzzy match") {
  ProfileMaker base, next;
  add_crowd(base);
  add_crowd(next);
  base.site({{"parse_value"}, {"parse_list"}, {"parse"}, {"run"}, {"main"}}, 3, 300);
  next.site({{"parse_value"}, {"parse"}, {"run"}, {"main"}}, 3, 300);
  const RunDiff diff(base.profile, next.profile, kNoRenames, {});
  const DiffSite* site = site_named(diff, "parse_value");
  REQUIRE(site != nullptr);
  CHECK(site->match == MatchTier::fuzzy);
  CHECK(site->status == SiteStatus::same);
  CHECK(site->score < 1);
}

TEST_CASE("unlike sites are never matched, also where nothing else is left") {
  ProfileMaker base, next;
  add_crowd(base);
  add_crowd(next);
  base.site({{"old_cache", "/src/app/cache.cpp"}, {"run"}, {"main"}}, 100, 1 << 20);
  next.site({{"leak_it", "/src/app/session.cpp"}, {"run"}, {"main"}}, 3, 300);
  const RunDiff diff(base.profile, next.profile, kNoRenames, {});
  CHECK(count(diff, SiteStatus::added) == 1);
  REQUIRE(count(diff, SiteStatus::removed) == 1);
  CHECK(diff.unmatched().empty()); // neither function exists on the other side: nothing is doubtful
  CHECK(site_named(diff, "old_cache")->status == SiteStatus::removed);
}

TEST_CASE("a renamed function is suggested, and matches by name once the map says so") {
  ProfileMaker base, next;
  add_crowd(base);
  add_crowd(next);
  base.site({{"app::fill_cache(int)", "/src/app/cache.cpp"}, {"run"}, {"main"}}, 40, 4000);
  next.site({{"app::populate_cache(int)", "/src/app/cache.cpp"}, {"run"}, {"main"}}, 40, 4000);
  const RunDiff diff(base.profile, next.profile, kNoRenames, {});
  CHECK(site_named(diff, "app::populate_cache(int)")->match == MatchTier::fuzzy);
  REQUIRE(diff.renames().size() == 1);
  CHECK(diff.renames()[0].base == "app::fill_cache");
  CHECK(diff.renames()[0].next == "app::populate_cache");
  RenameMap map;
  std::vector<std::string> wrong;
  map.parse("# moved\napp::fill_cache = app::populate_cache\n", "f", wrong);
  CHECK(wrong.empty());
  const RunDiff told(base.profile, next.profile, map, {});
  CHECK(site_named(told, "app::populate_cache(int)")->match == MatchTier::canonical);
  CHECK(told.renames().empty());
}

TEST_CASE("a rename map takes scopes, and says which line is wrong") {
  RenameMap map;
  std::vector<std::string> wrong;
  map.parse("a::b:: = c::\nnonsense\nx:: = y\n = z\n", "f", wrong);
  CHECK(map.renamed("a::b::f") == "c::f");
  CHECK(map.renamed("a::f") == "a::f");
  REQUIRE(wrong.size() == 3);
  CHECK(wrong[0].starts_with("f:2: "));
}

TEST_CASE("a moved file is told, and does not part its sites") {
  ProfileMaker base, next;
  base.site({{"load", "/src/core/load.cpp"}, {"main", "/src/main.cpp"}}, 3, 300);
  next.site({{"load", "/src/io/load.cpp"}, {"main", "/src/main.cpp"}}, 3, 300);
  const RunDiff diff(base.profile, next.profile, kNoRenames, {});
  REQUIRE(diff.sites().size() == 1);
  CHECK(diff.sites()[0].match == MatchTier::canonical);
  REQUIRE(diff.names().moved_files().size() == 1);
  CHECK(diff.names().moved_files()[0].next == "/src/io/load.cpp");
}

TEST_CASE("addresses match within one build alone") {
  ProfileMaker base, next;
  base.site({{"app+0x1200"}, {"app+0x100"}}, 3, 300);
  next.site({{"app+0x1200"}, {"app+0x100"}}, 3, 300);
  CHECK(RunDiff(base.profile, next.profile, kNoRenames, {}).sites().size() == 1);
  next.profile.modules[1].build_id = "1234";
  const RunDiff other(base.profile, next.profile, kNoRenames, {});
  CHECK(count(other, SiteStatus::removed) == 1);
}

TEST_CASE("sites in another shape cancel at their common caller") {
  ProfileMaker base, next;
  add_crowd(base);
  add_crowd(next);
  // Far too different to be matched one by one, yet all below `decode`, in functions both have.
  for (int i = 0; i < 3; ++i)
    base.site({{"h" + std::to_string(i)}, {"x"}, {"y"}, {"decode"}, {"run"}, {"main"}}, 10, 1000);
  next.site({{"h1"}, {"p"}, {"q"}, {"decode"}, {"run"}, {"main"}}, 30, 3000);
  for (int i = 0; i < 3; ++i)
    next.site({{"h" + std::to_string(i)}, {"elsewhere"}, {"run"}, {"main"}}, 1, 1);
  for (int i = 0; i < 3; ++i)
    base.site({{"h" + std::to_string(i)}, {"elsewhere"}, {"run"}, {"main"}}, 1, 1);
  const RunDiff diff(base.profile, next.profile, kNoRenames, {.threshold = 0.95});
  REQUIRE(diff.unmatched().size() == 1);
  CHECK(diff.unmatched()[0].base[ProfileMetric::bytes_requested] == 3000);
  CHECK(diff.unmatched()[0].next[ProfileMetric::bytes_requested] == 3000);
}

TEST_CASE("a build that does not tell its inlined calls cancels at the caller it tells") {
  ProfileMaker base, next;
  add_crowd(base);
  add_crowd(next);
  base.site({{"read_body"}, {"handle"}, {"serve"}, {"main"}}, 200, 400'000);
  base.site({{"read_header"}, {"handle"}, {"serve"}, {"main"}}, 400, 26'000);
  next.site({{"serve"}, {"main"}}, 600, 426'000);
  const RunDiff diff(base.profile, next.profile, kNoRenames, {});
  REQUIRE(diff.unmatched().size() == 1);
  CHECK(diff.unmatched()[0].sites.size() == 3);
  CHECK(diff.unmatched()[0].base[ProfileMetric::bytes_requested] == 426'000);
}

TEST_CASE("a pool that fills up below other callers cancels at its function") {
  ProfileMaker base, next;
  add_crowd(base);
  add_crowd(next);
  const auto take_page = [](ProfileMaker& maker, const std::string& caller, uint64_t bytes) {
    maker.site({{"xmalloc", "", 0, "/opt/app", kFrameAllocator},
                {"pool_alloc", "", 0, "/opt/app", kFrameAllocator},
                {caller},
                {"run"},
                {"main"}},
               1, bytes);
  };
  take_page(base, "make_list", 64'000);
  take_page(base, "make_tree", 16'000);
  take_page(next, "make_tree", 16'000);
  take_page(next, "make_node", 64'000);
  next.site({{"schedule"}, {"optimize"}, {"run"}, {"main"}}, 5, 5000);
  // Both runs call them, elsewhere.
  for (ProfileMaker* maker : {&base, &next})
    for (const char* function : {"make_list", "make_node"})
      maker->site({{function}, {"start"}, {"main"}}, 1, 10);
  for (ProfileMaker* maker : {&base, &next})
    maker->profile.modules[1].build_id = "1234";
  const RunDiff diff(base.profile, next.profile, kNoRenames, {.threshold = 0.95});
  REQUIRE(diff.unmatched().size() == 1);
  const UnmatchedGroup& group = diff.unmatched()[0];
  CHECK(group.kind == UnmatchedKind::elsewhere);
  CHECK(next.profile.function(next.profile.frames[group.new_frame]) == "pool_alloc");
  CHECK(group.base[ProfileMetric::bytes_requested] == 64'000);
  CHECK(group.next[ProfileMetric::bytes_requested] == 64'000);
  CHECK(diff.other_work(kBase, ProfileMetric::bytes_requested) == 0);
  CHECK(diff.other_work(kNew, ProfileMetric::bytes_requested) == 5000);
  CHECK(!site_named(diff, "schedule")->ambiguous);
}

TEST_CASE("within one build what allocates is the same function, however alike the callers are") {
  ProfileMaker base, next;
  add_crowd(base);
  add_crowd(next);
  base.site({{"grow_table"}, {"insert"}, {"assign"}, {"compile"}, {"run"}, {"main"}}, 10, 1000);
  next.site({{"sort"}, {"insert"}, {"assign"}, {"compile"}, {"run"}, {"main"}}, 10, 1000);
  const RunDiff builds(base.profile, next.profile, kNoRenames, {});
  CHECK(site_named(builds, "sort")->match == MatchTier::fuzzy);
  for (ProfileMaker* maker : {&base, &next})
    maker->profile.modules[1].build_id = "1234";
  const RunDiff build(base.profile, next.profile, kNoRenames, {});
  CHECK(site_named(build, "grow_table")->status == SiteStatus::removed);
  CHECK(site_named(build, "sort")->status == SiteStatus::added);
}

TEST_CASE("what is set up once is no part of a unit") {
  ProfileMaker base, next;
  for (ProfileMaker* maker : {&base, &next}) {
    maker->site({{"load_tables"}, {"main"}}, 40, 8000);
    maker->site({{"every_other_time"}, {"serve"}, {"main"}}, 100, 1000); // half as often per unit
  }
  base.site({{"serve"}, {"main"}}, 1000, 100'000);
  next.site({{"serve"}, {"main"}}, 2000, 200'000);
  base.profile.marks = {{"request", 100}};
  next.profile.marks = {{"request", 200}};
  using enum ProfileMetric;
  const RunDiff diff(base.profile, next.profile, kNoRenames, {.per = "request"});
  CHECK(site_named(diff, "load_tables")->set_up);
  CHECK(site_named(diff, "load_tables")->status == SiteStatus::same);
  CHECK(diff.set_up(kBase)[allocation_calls] == 40);
  CHECK(diff.delta(allocation_calls, *site_named(diff, "every_other_time")) == doctest::Approx(-0.5));
  CHECK(diff.total_delta(allocation_calls) == doctest::Approx(-0.5));
  CHECK(diff.total_delta(peak_bytes) == 100'000); // a state, and all of it
  const RunDiff whole(base.profile, next.profile, kNoRenames, {.per = "request", .leave_out_set_up = false});
  CHECK(whole.total_delta(allocation_calls) == doctest::Approx(-0.7));
}

TEST_CASE("flows are divided by units of work, states are not") {
  ProfileMaker base, next;
  base.site({{"serve"}, {"main"}}, 1000, 100'000);
  next.site({{"serve"}, {"main"}}, 2000, 200'000);
  base.profile.marks = {{"request", 100}};
  next.profile.marks = {{"request", 200}};
  const RunDiff diff(base.profile, next.profile, kNoRenames, {.per = "request"});
  CHECK(diff.delta(ProfileMetric::allocation_calls, diff.sites()[0]) == 0);
  CHECK(diff.delta(ProfileMetric::peak_bytes, diff.sites()[0]) == 100'000);
  CHECK_THROWS_WITH(RunDiff(base.profile, next.profile, kNoRenames, {.per = "level"}),
                    "the base run has no mark 'level'");
}
