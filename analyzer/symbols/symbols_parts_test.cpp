// The small parts: bounded reading, interning, demangling, paths.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <string>
#include <thread>

#include "symbols/byte_cursor.h"
#include "symbols/demangle.h"
#include "symbols/dwarf_file.h"
#include "symbols/dwarf_lines.h"
#include "symbols/module_files.h"
#include "symbols/string_pool.h"

namespace hl {
namespace {

TEST_CASE("a cursor past its end reads zeros and stays failed") {
  const uint8_t bytes[] = {1, 2, 3};
  ByteCursor cursor{Bytes(bytes)};
  CHECK(cursor.u16() == 0x0201);
  CHECK(cursor.u32() == 0);
  CHECK(cursor.failed());
  CHECK(cursor.at_end());
  CHECK(cursor.u8() == 0);
  CHECK(ByteCursor(Bytes(bytes), 4).failed());
  CHECK(ByteCursor(Bytes(bytes), UINT64_MAX).failed());
  ByteCursor skipping{Bytes(bytes)};
  skipping.skip(UINT64_MAX);
  CHECK(skipping.failed());
}

TEST_CASE("LEB128 of any length, terminated or not") {
  const uint8_t bytes[] = {0xe5, 0x8e, 0x26, 0x7f, 0x80, 0x7f};
  ByteCursor cursor{Bytes(bytes)};
  CHECK(cursor.uleb() == 624485);
  CHECK(cursor.sleb() == -1);
  CHECK(cursor.sleb() == -128);
  CHECK_FALSE(cursor.failed());
  const std::vector<uint8_t> endless(100, 0xff);
  ByteCursor never_ends{Bytes(endless)};
  never_ends.uleb();
  CHECK(never_ends.failed());
  std::vector<uint8_t> padded(20, 0x80);
  padded.push_back(0);
  ByteCursor long_zero{Bytes(padded)};
  CHECK(long_zero.uleb() == 0);
  CHECK(long_zero.at_end());
}

TEST_CASE("texts without a NUL are not read") {
  const uint8_t bytes[] = {'a', 'b', 0, 'c'};
  CHECK(c_string_at(bytes, 0) == "ab");
  CHECK(c_string_at(bytes, 3) == "");
  CHECK(c_string_at(bytes, 99) == "");
}

TEST_CASE("equal texts get equal ids, from any thread") {
  StringPool pool;
  StringId first = pool.intern("main");
  CHECK(pool.intern(std::string("ma") + "in") == first);
  CHECK(pool.intern("") == StringId::kEmpty);
  CHECK(pool.text(first) == "main");
  CHECK(pool.text(first).data()[4] == '\0');
  CHECK(pool.text(StringId{12345}) == "");
  {
    auto work = [&] {
      for (int i = 0; i < 2000; ++i)
        pool.intern("name" + std::to_string(i % 500));
    };
    std::jthread a(work), b(work);
  }
  CHECK(pool.size() == 502);
  CHECK(pool.text(pool.intern(std::string(1 << 20, 'x'))).size() == StringPool::kMaxTextBytes);
}

TEST_CASE("C++ names") {
  CHECK(demangle("_ZN2hl6modify5valueEv") == "hl::modify::value()");
  CHECK(demangle("_Z3foov.cold") == "foo() [clone .cold]");
  CHECK(demangle("_Znwm") == "operator new(unsigned long)");
  CHECK(demangle("main") == "");
  CHECK(demangle("_Znonsense") == "");
  CHECK(demangle("") == "");
}

TEST_CASE("Rust's legacy names lose their hash") {
  CHECK(demangle("_ZN3std2rt10lang_start17h0123456789abcdefE") == "std::rt::lang_start");
  CHECK(demangle("_ZN72_$LT$alloc..vec..Vec$LT$T$GT$$u20$as$u20$core..iter..Extend$LT$T$GT$$GT$6extend17h"
                 "00112233445566aaE") == "<alloc::vec::Vec<T> as core::iter::Extend<T>>::extend");
  // Not Rust: the last part is no hash.
  CHECK(demangle("_ZN3std2rt10lang_startE") == "std::rt::lang_start");
  CHECK(demangle("_RNvC6_123foo3bar") == "");
}

#if HEAPLEDGER_DEMANGLE_CALLBACK
TEST_CASE("a name that expands without end is given up") {
  // Each level names the one before it twice: 2^60 times the first.
  const char* digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
  auto name_of_levels = [&](int levels) {
    std::string name = "_Z1f1AIiiE";
    for (int level = 0; level < levels; ++level) {
      std::string last = level < 36 ? "S" : "S1";
      (last += digits[level % 36]) += '_';
      name.append("S_I").append(last).append(last).append("E");
    }
    return name;
  };
  CHECK(demangle(name_of_levels(2)).size() > 60);
  CHECK(demangle(name_of_levels(8)).size() > 30 * demangle(name_of_levels(2)).size());
  CHECK(demangle(name_of_levels(60)) == "");
}
#endif

TEST_CASE("each name is demangled once and falls back") {
  StringPool pool;
  Demangler demangler(pool);
  StringId mangled = pool.intern("_Z3foov");
  StringId fallback = pool.intern("plain");
  CHECK(pool.text(demangler.demangled(mangled, fallback)) == "foo()");
  CHECK(demangler.demangled(mangled, fallback) == pool.intern("foo()"));
  StringId c_name = pool.intern("main");
  CHECK(demangler.demangled(c_name, fallback) == fallback);
  CHECK(demangler.demangled(c_name, c_name) == c_name);
}

TEST_CASE("paths become canonical without looking at the disk") {
  CHECK(normalize_path("/usr/lib/gcc/x/12/../../../../include/c++/12/map") == "/usr/include/c++/12/map");
  CHECK(normalize_path("./a//b/./c.c") == "a/b/c.c");
  CHECK(normalize_path("../up.c") == "../up.c");
  CHECK(normalize_path("a/../../b") == "../b");
  CHECK(normalize_path("/../x") == "/x");
  CHECK(normalize_path("") == "");
  CHECK(normalize_path("/") == "/");
}

TEST_CASE("module names and build-ids as text") {
  CHECK(module_base_name("/usr/bin/git (deleted)") == "git");
  CHECK(module_base_name("[vdso]") == "[vdso]");
  CHECK(build_id_text({0x0a, 0xff, 0x10}) == "0aff10");
}

TEST_CASE("a work budget once spent stays spent") {
  WorkBudget budget(10);
  CHECK(budget.spend(10));
  CHECK_FALSE(budget.spend(1));
  CHECK(budget.exhausted());
  WorkBudget other(10);
  CHECK_FALSE(other.spend(11));
  CHECK_FALSE(other.spend(1));
}

} // namespace
} // namespace hl
