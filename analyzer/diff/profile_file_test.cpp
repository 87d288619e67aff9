// A profile comes out of its file as it went in, or not at all.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "diff/profile_file.h"
#include "testing/profile_maker.h"
#include "testing/scratch_directory.h"

using namespace hl;
using namespace hl::testing;

namespace {

RunProfile example() {
  ProfileMaker maker;
  maker.site({{"malloc", "", 0, "/lib/libc.so.6", kFrameAllocator}, {"load", "/src/load.cpp", 10}, {"main"}},
             3, 300);
  maker.site({{"save", "/src/save.cpp", 20, "/opt/libsave.so", kFrameInlined}, {"main"}}, 1, 7'000'000'000);
  maker.profile.sites[0].metrics[ProfileMetric::definite_bytes] = 100;
  maker.profile.totals[ProfileMetric::definite_bytes] = 100;
  maker.profile.uuid = "abc";
  maker.profile.pid = 17;
  maker.profile.started_realtime_ns = 1'700'000'000'000'000'000;
  maker.profile.scanned = true;
  maker.profile.troubles = {"Names in /opt/x: none."};
  maker.profile.marks = {{"request", 1000}};
  maker.profile.modules[1].build_id = "00ff";
  return maker.profile;
}

void check_equal(const RunProfile& a, const RunProfile& b) {
  CHECK(a.uuid == b.uuid);
  CHECK(a.command == b.command);
  CHECK(a.pid == b.pid);
  CHECK(a.started_realtime_ns == b.started_realtime_ns);
  CHECK(a.moment == b.moment);
  CHECK(a.complete == b.complete);
  CHECK(a.scanned == b.scanned);
  CHECK(a.troubles == b.troubles);
  CHECK(a.strings == b.strings);
  CHECK(a.frames == b.frames);
  CHECK(a.of_run == b.of_run);
  CHECK(a.of_sites == b.of_sites);
  CHECK(a.totals.values == b.totals.values);
  CHECK(a.mark_count("request") == b.mark_count("request"));
  REQUIRE(a.modules.size() == b.modules.size());
  for (size_t i = 0; i < a.modules.size(); ++i) {
    CHECK(a.modules[i].path == b.modules[i].path);
    CHECK(a.modules[i].build_id == b.modules[i].build_id);
    CHECK(a.modules[i].is_main == b.modules[i].is_main);
  }
  REQUIRE(a.nodes.size() == b.nodes.size());
  for (size_t i = 0; i < a.nodes.size(); ++i) {
    CHECK(a.nodes[i].parent == b.nodes[i].parent);
    CHECK(a.nodes[i].frame == b.nodes[i].frame);
  }
  REQUIRE(a.sites.size() == b.sites.size());
  for (size_t i = 0; i < a.sites.size(); ++i) {
    CHECK(a.sites[i].node == b.sites[i].node);
    CHECK(a.sites[i].metrics.values == b.sites[i].metrics.values);
  }
}

} // namespace

TEST_CASE("a profile is read back as it was written") {
  const RunProfile profile = example();
  const auto read = parse_profile(serialize_profile(profile));
  REQUIRE(read);
  check_equal(profile, *read);
  const auto empty = parse_profile(serialize_profile(RunProfile{}));
  REQUIRE(empty);
  CHECK(empty->sites.empty());
}

TEST_CASE("no changed or missing byte goes unnoticed") {
  const std::vector<uint8_t> bytes = serialize_profile(example());
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::vector<uint8_t> damaged = bytes;
    damaged[i] ^= 0x10;
    CHECK_FALSE(parse_profile(damaged));
    CHECK_FALSE(parse_profile(std::span(bytes).first(i)));
  }
}

TEST_CASE("a profile of another trace, moment or set of symbols is not used") {
  ProfileKey key;
  key.trace_uuid[3] = 7;
  key.trace_bytes = 1000;
  key.trace_hash = 1;
  key.moment_hash = 2;
  key.names_hash = 3;
  const std::vector<uint8_t> bytes = serialize_profile(example(), key);
  CHECK(parse_profile(bytes, &key));
  CHECK(parse_profile(bytes));
  for (uint64_t ProfileKey::*field : {&ProfileKey::trace_bytes, &ProfileKey::trace_hash,
                                      &ProfileKey::moment_hash, &ProfileKey::names_hash}) {
    ProfileKey other = key;
    other.*field += 1;
    CHECK_FALSE(parse_profile(bytes, &other));
  }
  ProfileKey other = key;
  other.trace_uuid[0] = 1;
  CHECK_FALSE(parse_profile(bytes, &other));
}

TEST_CASE("files are replaced as a whole, and a directory without permission is no error") {
  const ScratchDirectory scratch;
  const std::string path = scratch.path() + "/x.profile";
  CHECK_FALSE(load_profile(path));
  REQUIRE(save_profile(path, RunProfile{}));
  REQUIRE(save_profile(path, example()));
  const auto read = load_profile(path);
  REQUIRE(read);
  check_equal(example(), *read);
  CHECK(is_profile_file(path));
  CHECK_FALSE(is_profile_file(scratch.path()));
  CHECK_FALSE(save_profile(scratch.path() + "/none/x.profile", example()));
}
