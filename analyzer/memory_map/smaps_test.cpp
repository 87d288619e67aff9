// The text of smaps, in the shapes that kernels, phones and shells give it.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include "memory_map/smaps.h"

using namespace hl;

TEST_CASE("a mapping's header and numbers are read") {
  const Smaps smaps =
      parse_smaps("55ba5d33d000-55ba5d343000 r-xp 00002000 fe:00 247498                     /usr/bin/head\n"
                  "Size:                 24 kB\n"
                  "KernelPageSize:        4 kB\n"
                  "Rss:                  20 kB\n"
                  "Pss:                   7 kB\n"
                  "Shared_Clean:         16 kB\n"
                  "Private_Clean:         4 kB\n"
                  "SwapPss:               1 kB\n"
                  "THPeligible:           0\n"
                  "ProtectionKey:         0\n"
                  "VmFlags: rd ex mr mw me\n");
  REQUIRE(smaps.vmas.size() == 1);
  CHECK(smaps.bad_lines == 0);
  const Vma& vma = smaps.vmas[0];
  CHECK(vma.start == 0x55ba5d33d000);
  CHECK(vma.bytes() == 24 * 1024);
  CHECK(vma.executable);
  CHECK(vma.readable);
  CHECK_FALSE(vma.writable);
  CHECK_FALSE(vma.shared);
  CHECK(vma.offset == 0x2000);
  CHECK(vma.inode == 247498);
  CHECK(vma.name == "/usr/bin/head");
  CHECK(vma.numbers.rss == 20 * 1024);
  CHECK(vma.numbers.pss == 7 * 1024);
  CHECK(vma.numbers.shared_clean == 16 * 1024);
  CHECK(vma.numbers.private_clean == 4 * 1024);
  CHECK(vma.numbers.swap_pss == 1024);
}

TEST_CASE("names: with blanks, deleted, none, in a line of their own") {
  const Smaps smaps = parse_smaps("1000-2000 rw-s 00000000 00:01 7 /memfd:my heap (deleted)\n"
                                  "2000-3000 rw-p 00000000 00:00 0\n"
                                  "3000-4000 rw-p 00000000 00:00 0 [anon:dalvik-main space (region space)]\n"
                                  "4000-5000 rw-p 00000000 00:00 0 \n"
                                  "Name:           [anon:libc_malloc]\n"
                                  "Rss:                   4 kB\n");
  REQUIRE(smaps.vmas.size() == 4);
  CHECK(smaps.vmas[0].name == "/memfd:my heap");
  CHECK(smaps.vmas[0].deleted);
  CHECK(smaps.vmas[0].shared);
  CHECK(smaps.vmas[1].name.empty());
  CHECK(smaps.vmas[2].name == "[anon:dalvik-main space (region space)]");
  CHECK(smaps.vmas[3].name == "[anon:libc_malloc]");
  CHECK(smaps.vmas[3].numbers.rss == 4096);
}

TEST_CASE("an adb shell's line ends and chatter do no harm, and are counted") {
  const Smaps smaps = parse_smaps("shell@phone:/ $ cat /proc/1/smaps\r\n\r\n"
                                  "1000-3000 rw-p 00000000 00:00 0   [heap]\r\n"
                                  "Rss:                   8 kB\r\n"
                                  "shell@phone:/ $ \r\n");
  REQUIRE(smaps.vmas.size() == 1);
  CHECK(smaps.vmas[0].name == "[heap]");
  CHECK(smaps.vmas[0].numbers.rss == 8192);
  CHECK(smaps.bad_lines == 2);
  CHECK(smaps.problems.size() == 2);
  CHECK(smaps.problems[0] == "line 1: text before the first mapping");
}

TEST_CASE("impossible numbers are left out, one by one") {
  const Smaps smaps = parse_smaps("1000-3000 rw-p 00000000 00:00 0\n"
                                  "Rss:                   12 kB\n"
                                  "Pss: 18446744073709551615 kB\n"
                                  "Swap: 99999999999999999999999 kB\n"
                                  "Private_Dirty:         4 kB\n"
                                  "Private_Dirty:         4 kB\n"
                                  "Private_Clean:         4");
  REQUIRE(smaps.vmas.size() == 1);
  CHECK(smaps.vmas[0].numbers.rss == 0); // greater than the mapping
  CHECK(smaps.vmas[0].numbers.pss == 0);
  CHECK(smaps.vmas[0].numbers.private_dirty == 4096);
  CHECK(smaps.vmas[0].numbers.private_clean == 0); // cut off: it might have been 40
  CHECK(smaps.bad_lines == 5);
}

TEST_CASE("mappings out of order are sorted, and overlapping ones are not counted twice") {
  const Smaps smaps = parse_smaps("5000-6000 rw-p 00000000 00:00 0\nRss: 4 kB\n"
                                  "1000-3000 rw-p 00000000 00:00 0\nRss: 8 kB\n"
                                  "2000-4000 rw-p 00000000 00:00 0\nRss: 8 kB\n"
                                  "4000-3000 rw-p 00000000 00:00 0\n");
  REQUIRE(smaps.vmas.size() == 2);
  CHECK(smaps.vmas[0].start == 0x1000);
  CHECK(smaps.vmas[1].start == 0x5000);
  CHECK(smaps.bad_lines == 2);
}

TEST_CASE("smaps_rollup is told from smaps") {
  const Smaps smaps = parse_smaps("00400000-7fff00000000 ---p 00000000 00:00 0 [rollup]\nRss: 400 kB\n");
  CHECK(smaps.vmas.empty());
  REQUIRE(smaps.problems.size() == 1);
  CHECK(smaps.problems[0].find("smaps_rollup") != std::string::npos);
}

TEST_CASE("a line of maps is a mapping without numbers") {
  const Smaps smaps = parse_smaps("00400000-00401000 r-xp 00000000 08:01 12 /bin/true\n"
                                  "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 [vsyscall]\n");
  REQUIRE(smaps.vmas.size() == 2);
  CHECK(smaps.vmas[1].start == 0xffffffffff600000);
  CHECK(smaps.bad_lines == 0);
}
