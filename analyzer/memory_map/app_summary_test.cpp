// Android's App Summary and Apple's words of three saved smaps texts, against sums made by hand (kB).
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <fstream>
#include <iterator>
#include <string>

#include "memory_map/app_summary.h"

using namespace hl;

namespace {

constexpr uint64_t operator""_kb(unsigned long long n) {
  return n * 1024;
}

Smaps fixture(const char* name) {
  std::ifstream file(std::string(HL_MEMORY_FIXTURES) + "/" + name, std::ios::binary);
  REQUIRE(file.good());
  Smaps smaps = parse_smaps(std::string(std::istreambuf_iterator<char>(file), {}));
  CHECK(smaps.bad_lines == 0);
  return smaps;
}

void check_sum(const AppSummary& app) {
  CHECK(app.java_heap + app.native_heap + app.code + app.stack + app.graphics + app.private_other +
            app.system ==
        app.total_pss);
}

} // namespace

TEST_CASE("an Android app") {
  const Smaps smaps = fixture("smaps_android_app.txt");
  REQUIRE(smaps.vmas.size() == 32);
  const AppSummary app = app_summary(smaps.vmas);
  // Private dirty of main 12288, zygote 40 and large object space 512; boot.art 1000 dirty + 24 clean.
  CHECK(app.java_heap == 13864_kb);
  // scudo 20480 + 3000, libc_malloc 500, GWP-ASan 12.
  CHECK(app.native_heap == 23992_kb);
  // libflutter.so 5000 + 300 and its bss 200, libapp.so 4000, libc.so 20; base.apk 700; Roboto.ttf 88;
  // core-oj.jar 16; base.odex 64, base.vdex 400, classes2.dex in memory 128; boot.oat 20; JIT code 100 + 600.
  CHECK(app.code == 11636_kb);
  CHECK(app.stack == 112_kb); // 40 + 72
  CHECK(app.graphics == 9000_kb);
  // LinearAlloc 900, cursor 8, Dart's heap 15000, unnamed 128, app.db-shm 30.
  CHECK(app.private_other == 16066_kb);
  CHECK(app.total_pss == 81964_kb); // PSS 75308 + SwapPss 6656
  CHECK(app.system == 7294_kb);     // 81964 - 64228 dirty - 10442 clean
  check_sum(app);
}

TEST_CASE("a Linux process with swap, huge pages, memfds and deleted files") {
  const Smaps smaps = fixture("smaps_swap_huge_memfd.txt");
  REQUIRE(smaps.vmas.size() == 17);
  const AppSummary app = app_summary(smaps.vmas);
  CHECK(app.java_heap == 0);
  CHECK(app.native_heap == 30000_kb);
  CHECK(app.code == 368_kb); // plugin.so 300 + 20 and its bss 48; libc.so.6 does not end in .so
  CHECK(app.stack == 40_kb);
  CHECK(app.graphics == 0);
  CHECK(app.private_other == 12140_kb); // 41828 dirty + 720 clean - 30000 - 368 - 40
  CHECK(app.total_pss == 69890_kb);     // PSS 46716 + SwapPss 23174
  CHECK(app.system == 27342_kb);
  check_sum(app);
  const VmaNumbers total = total_of(smaps.vmas);
  CHECK(total.rss == 52288_kb);
  CHECK(total.anon_huge_pages == 22528_kb);
  const AppleWords apple = apple_words(total);
  CHECK(apple.dirty == 50084_kb); // private 41828, shared 8192 + 64
  CHECK(apple.clean == 2204_kb);  // private 720, shared 1480 + 4
  CHECK(apple.swapped == 23224_kb);
  CHECK(apple.footprint() == 73308_kb);
  CHECK(apple.dirty + apple.clean == total.rss);
}

TEST_CASE("python3 with threads, as a desktop's kernel told of it") {
  const Smaps smaps = fixture("smaps_python_threads.txt");
  REQUIRE(smaps.vmas.size() == 65);
  const AppSummary app = app_summary(smaps.vmas);
  CHECK(app.native_heap == 21400_kb);
  CHECK(app.code == 2016_kb); // by the rule that counts what follows a .so as its .bss, here too much
  CHECK(app.stack == 36_kb);
  CHECK(app.private_other == 8600_kb); // 27772 dirty + 4280 clean - the rows above
  CHECK(app.system == 65_kb);
  CHECK(app.total_pss == 32117_kb);
  check_sum(app);
}

TEST_CASE("names fall to the first rule that knows them") {
  CHECK(android_heap_of("[anon:dalvik-/system/framework/boot.art]") == AndroidHeap::art);
  CHECK(android_heap_of("[anon:dalvik-jit-code-cache]") == AndroidHeap::jit_code);
  CHECK(android_heap_of("[anon:dalvik-non moving space]") == AndroidHeap::dalvik);
  CHECK(android_heap_of("[anon:dalvik-card table]") == AndroidHeap::dalvik_other);
  CHECK(android_heap_of("/dev/ashmem/dalvik-classes.dex extracted") == AndroidHeap::dex);
  CHECK(android_heap_of("/dev/ashmem/x") == AndroidHeap::ashmem);
  CHECK(android_heap_of("/dev/binderfs/binder") == AndroidHeap::other_device);
  CHECK(android_heap_of("[anon:v8]") == AndroidHeap::unknown);
  CHECK(android_heap_of("/vendor/lib64/egl/libGLES_mali.so") == AndroidHeap::so);
  CHECK(android_heap_of("") == AndroidHeap::unknown);
}
