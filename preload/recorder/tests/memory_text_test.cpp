// The kernel's texts about memory, as saved from real machines and cut off or spoilt in between.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <map>
#include <string>

#include "cgroup_memory.h"
#include "memory_text.h"

namespace {

using hl::UsageField;

const std::string kSmaps = "55d0c0a00000-55d0c0a02000 r--p 00000000 fe:00 1234  /usr/bin/app with blanks\n"
                           "Size:                  8 kB\n"
                           "KernelPageSize:        4 kB\n"
                           "Rss:                   8 kB\n"
                           "Pss:                   4 kB\n"
                           "Shared_Clean:          8 kB\n"
                           "Shared_Dirty:          0 kB\n"
                           "Anonymous:             0 kB\n"
                           "Swap:                  0 kB\n"
                           "VmFlags: rd mr mw me sd\n"
                           "7f0000000000-7f0000100000 rw-p 00000000 00:00 0\n"
                           "Size:               1024 kB\n"
                           "Rss:                 512 kB\n"
                           "Pss:                 512 kB\n"
                           "Private_Dirty:       512 kB\n"
                           "Anonymous:           512 kB\n"
                           "Swap:                 16 kB\n"
                           "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0  [vsyscall]\n"
                           "Size:                  4 kB\n"
                           "Rss:                   0 kB\n";

} // namespace

TEST_CASE("statm gives pages, and nothing where a number is missing") {
  hl::UsageFields f;
  CHECK(hl::parse_statm("1000 200 150 1 0 90 0\n", 4096, f));
  CHECK(f[UsageField::size] == 1000 * 4096);
  CHECK(f[UsageField::rss] == 200 * 4096);
  CHECK(f[UsageField::shared] == 150 * 4096);
  for (const char* text : {"", "1000", "1000 ", "1000 200", "a b c", "18446744073709551615 1 1"}) {
    hl::UsageFields none;
    CHECK_FALSE(hl::parse_statm(text, 4096, none));
    CHECK_FALSE(none.has(UsageField::size));
  }
}

TEST_CASE("page tables are a line of status, wherever the name of the process says otherwise") {
  hl::UsageFields f;
  hl::parse_status("Name:\tx VmPTE:\t9 kB\nVmData:\t  100 kB\nVmPTE:\t      48 kB\nVmSwap:\t       0 kB\n",
                   f);
  CHECK(f[UsageField::page_tables] == 48 * 1024);
  for (const char* text :
       {"", "VmPTE:", "\nVmPTE:\t kB\n", "\nVmPTE:\t99999999999999999999 kB\n", "Name:\tx\n"}) {
    hl::UsageFields none;
    hl::parse_status(text, none);
    CHECK_FALSE(none.has(UsageField::page_tables));
  }
}

TEST_CASE("stat is read behind a name that holds anything") {
  hl::UsageFields f;
  CHECK(hl::parse_stat("77 (a) b) (c) S 1 77 77 0 -1 4194560 55 66 7 8 9 10 11 12 20 0 13 0 999 1 2\n", f));
  CHECK(f[UsageField::minor_faults] == 55);
  CHECK(f[UsageField::major_faults] == 7);
  CHECK(f[UsageField::threads] == 13);
  hl::UsageFields cut;
  CHECK_FALSE(hl::parse_stat("77 (x) S 1 77 77 0 -1 4194560 55 66", cut));
  CHECK_FALSE(hl::parse_stat("77", cut));
}

TEST_CASE("a rollup's lines become fields") {
  hl::UsageFields f;
  CHECK(hl::parse_rollup("5628a0b0f000-7ffed8997000 ---p 00000000 00:00 0    [rollup]\nRss:    1760 kB\n"
                         "Pss:     437 kB\nPss_Dirty:  112 kB\nPss_Anon:  112 kB\nLazyFree:  3 kB\n"
                         "SwapPss:   9 kB\nFilePmdMapped:  1 kB\nLocked:",
                         f));
  CHECK(f[UsageField::rollup_rss] == 1760 * 1024);
  CHECK(f[UsageField::pss] == 437 * 1024);
  CHECK(f[UsageField::lazy_free] == 3 * 1024);
  CHECK(f[UsageField::swap_pss] == 9 * 1024);
  CHECK_FALSE(f.has(UsageField::locked));
  CHECK_FALSE(f.has(UsageField::swap));
  hl::UsageFields none;
  CHECK_FALSE(hl::parse_rollup("nonsense\n", none));
}

TEST_CASE("smaps gives every mapping and the sums of all") {
  hl::UsageFields f;
  std::vector<hl::MappedRange> ranges;
  REQUIRE(hl::parse_smaps(kSmaps, ranges, f));
  REQUIRE(ranges.size() == 3);
  CHECK(ranges[0].start == 0x55d0c0a00000);
  CHECK(ranges[0].end == 0x55d0c0a02000);
  CHECK(ranges[0].rss == 8192);
  CHECK(ranges[0].shared == 8192);
  CHECK(ranges[1].rss == 512 * 1024);
  CHECK(ranges[1].swap == 16 * 1024);
  CHECK(ranges[1].shared == 0);
  CHECK(f[UsageField::rollup_rss] == 520 * 1024);
  CHECK(f[UsageField::pss] == 516 * 1024);
  CHECK(f[UsageField::private_dirty] == 512 * 1024);
  CHECK(f[UsageField::mappings] == 3);
  CHECK_FALSE(f.has(UsageField::pss_anon));
}

TEST_CASE("smaps of a program that runs may tell a mapping twice, and is cut off anywhere") {
  hl::UsageFields f;
  std::vector<hl::MappedRange> ranges;
  REQUIRE(hl::parse_smaps("1000-3000 rw-p 0 0:0 0\nRss: 8 kB\n0-5000 rw-p 0 0:0 0\nRss: 12 kB\n"
                          "2000-4000 rw-p 0 0:0 0\nRss: 4 kB\n",
                          ranges, f));
  REQUIRE(ranges.size() == 2);
  CHECK(ranges[1].start == 0x3000);
  CHECK(ranges[1].end == 0x5000);
  CHECK(f[UsageField::rollup_rss] == 20 * 1024);
  for (size_t bytes = 0; bytes < kSmaps.size(); bytes++) {
    hl::UsageFields some;
    std::vector<hl::MappedRange> found;
    hl::parse_smaps(kSmaps.substr(0, bytes), found, some);
    CHECK(found.size() <= 3);
  }
  for (const char* text : {"", "x", "5000-1000 rw-p\n", "1000_2000 rw-p\n", "-1000 rw-p\n", "Rss: 1 kB\n"}) {
    hl::UsageFields none;
    std::vector<hl::MappedRange> found;
    CHECK_FALSE(hl::parse_smaps(text, found, none));
  }
}

TEST_CASE("machine and pressure") {
  hl::UsageFields f;
  hl::parse_meminfo("MemTotal:       24669120 kB\nMemFree:  1 kB\nMemAvailable:   20000000 kB\n", f);
  CHECK(f[UsageField::machine_total] == 24669120ull * 1024);
  CHECK(f[UsageField::machine_available] == 20000000ull * 1024);
  CHECK(hl::parse_pressure("some avg10=0.00 avg60=0.00 avg300=0.00 total=887523308\n"
                           "full avg10=0.00 avg60=0.00 avg300=0.00 total=5\n") == 887523308);
  CHECK(hl::parse_pressure("full avg10=0.00 total=5\n") == std::nullopt);
  CHECK(hl::parse_pressure("some avg10=0.00\nfull total=5\n") == std::nullopt);
  CHECK(hl::parse_pressure("") == std::nullopt);
}

namespace {

const std::string kV1Mounts =
    "24 30 0:22 / /sys/fs/cgroup rw,relatime shared:7 - tmpfs tmpfs rw,mode=755\n"
    "25 24 0:23 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n"
    "28 24 0:26 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n"
    "33 24 0:31 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";

// Files by path.
hl::ReadText files(const std::map<std::string, std::string>& all) {
  return [all](const std::string& path) {
    const auto it = all.find(path);
    return it == all.end() ? std::string() : it->second;
  };
}

} // namespace

TEST_CASE("the older kind of cgroup: limits from the whole path, counters from three files") {
  const hl::CgroupMount mount = hl::find_memory_mount(kV1Mounts);
  CHECK(mount.kind == hl::CgroupKind::v1);
  CHECK(mount.directory == "/sys/fs/cgroup/memory");
  const std::string path = hl::cgroup_path("8:pids:/\n4:cpu,memory:/outer/inner\n0::/other\n", mount.kind);
  CHECK(path == "/outer/inner");
  const std::string top = "/sys/fs/cgroup/memory";
  hl::UsageFields f;
  hl::read_cgroup(
      mount, path,
      files({{top + "/outer/inner/memory.usage_in_bytes", "104857600\n"},
             {top + "/outer/inner/memory.max_usage_in_bytes", "209715200\n"},
             {top + "/outer/inner/memory.limit_in_bytes", "9223372036854771712\n"},
             {top + "/outer/memory.limit_in_bytes", "268435456\n"},
             {top + "/memory.limit_in_bytes", "9223372036854771712\n"},
             {top + "/outer/inner/memory.stat", "cache 1\nrss 2\ntotal_cache 30\ntotal_rss 40\n"},
             {top + "/outer/inner/memory.failcnt", "17\n"},
             {top + "/outer/inner/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"}}),
      f);
  CHECK(f[UsageField::cgroup_current] == 104857600);
  CHECK(f[UsageField::cgroup_peak] == 209715200);
  CHECK(f[UsageField::cgroup_max] == 268435456);
  CHECK(f[UsageField::cgroup_anon] == 40);
  CHECK(f[UsageField::cgroup_file] == 30);
  CHECK(f[UsageField::cgroup_max_events] == 17);
  CHECK(f[UsageField::cgroup_oom_kills] == 3);
  CHECK_FALSE(f.has(UsageField::cgroup_high));
  CHECK_FALSE(f.has(UsageField::cgroup_swap));
}

TEST_CASE("kills in a process's group are counted from when it was found there") {
  const hl::CgroupMount mount = {hl::CgroupKind::v2, "/cg", "/"};
  const auto kills = [](const char* a, const char* b) {
    return files({{"/cg/a/memory.events", a}, {"/cg/b/memory.events", b}});
  };
  hl::GroupOomKills group;
  CHECK(group.since(mount, kills("oom_kill 1\n", "")) == std::nullopt);
  group.look(mount, "0::/a\n", kills("max 3\noom_kill 1\noom_group_kill 0\n", "oom_kill 5\n"));
  CHECK(group.since(mount, kills("oom_kill 1\n", "")) == 0);
  CHECK(group.since(mount, kills("oom_kill 3\n", "")) == 2);
  group.look(mount, "", kills("oom_kill 9\n", "")); // its /proc is gone
  group.look(mount, "0::/a\n", kills("oom_kill 9\n", ""));
  CHECK(group.since(mount, kills("oom_kill 3\n", "")) == 2);
  group.look(mount, "0::/b\n", kills("oom_kill 9\n", "oom_kill 5\n"));
  CHECK(group.since(mount, kills("oom_kill 9\n", "oom_kill 6\n")) == 1);
  CHECK(group.since(mount, kills("oom_kill 9\n", "")) == std::nullopt);
}

TEST_CASE("the newer kind of cgroup, also as a container sees it") {
  const hl::CgroupMount mount = hl::find_memory_mount(
      "29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n");
  CHECK(mount.kind == hl::CgroupKind::v2);
  const std::string top = "/sys/fs/cgroup";
  const auto all =
      files({{top + "/a/b/memory.current", "1000\n"},
             {top + "/a/b/memory.peak", "2000\n"},
             {top + "/a/b/memory.max", "max\n"},
             {top + "/a/memory.max", "max\n"},
             {top + "/a/b/memory.high", "5000\n"},
             {top + "/a/memory.high", "4000\n"},
             {top + "/a/b/memory.swap.current", "0\n"},
             {top + "/a/b/memory.stat", "anon 600\nfile 300\nkernel 90\nkernel_stack 7\n"},
             {top + "/a/b/memory.events", "low 0\nhigh 4\nmax 5\noom 6\noom_kill 7\n"},
             {top + "/a/b/memory.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=42\n"}});
  hl::UsageFields f;
  hl::read_cgroup(mount, hl::cgroup_path("0::/a/b\n", mount.kind), all, f);
  CHECK(f[UsageField::cgroup_current] == 1000);
  CHECK(f[UsageField::cgroup_peak] == 2000);
  CHECK(f[UsageField::cgroup_max] == hl::kUsageUnlimited);
  CHECK(f[UsageField::cgroup_high] == 4000);
  CHECK(f[UsageField::cgroup_swap] == 0);
  CHECK(f[UsageField::cgroup_anon] == 600);
  CHECK(f[UsageField::cgroup_kernel] == 90);
  CHECK(f[UsageField::cgroup_high_events] == 4);
  CHECK(f[UsageField::cgroup_max_events] == 5);
  CHECK(f[UsageField::cgroup_oom_kills] == 7);
  CHECK(f[UsageField::cgroup_pressure_us] == 42);

  // Mounted is a part of the hierarchy, and the path is told from its top.
  const hl::CgroupMount part =
      hl::find_memory_mount("29 23 0:26 /a /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
  hl::UsageFields inside;
  hl::read_cgroup(part, "/a/b", files({{top + "/b/memory.current", "5\n"}, {top + "/b/memory.max", "9\n"}}),
                  inside);
  CHECK(inside[UsageField::cgroup_current] == 5);
  CHECK(inside[UsageField::cgroup_max] == 9);
  // Outside of what is mounted, and of a machine without any: nothing is claimed.
  hl::UsageFields outside;
  hl::read_cgroup(mount, "/../..", all, outside);
  hl::read_cgroup({}, "/a/b", all, outside);
  hl::read_cgroup(mount, "", all, outside);
  for (const uint64_t value : outside.values)
    CHECK(value == hl::kFieldUnread);
}
