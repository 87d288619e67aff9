// Names of variables, of this very program.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <link.h>

#include "symbols/data_symbols.h"

int hl_test_variable[4] = {1, 2, 3, 4};
namespace hl_test {
struct Cache {
  long words[5];
};
Cache session_cache;
} // namespace hl_test

namespace {

uint64_t elf_address(const void* p) {
  uint64_t bias = 0;
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* to) { return *static_cast<uint64_t*>(to) = info->dlpi_addr, 1; },
      &bias);
  return reinterpret_cast<uint64_t>(p) - bias;
}

} // namespace

TEST_CASE("variables have names, with the offset into them") {
  const hl::DataSymbols symbols({"/proc/self/exe", {}}, {});
  CHECK(symbols.name_at(elf_address(hl_test_variable)) == "hl_test_variable");
  CHECK(symbols.name_at(elf_address(hl_test_variable + 3) + 1) == "hl_test_variable+13");
  CHECK(symbols.name_at(elf_address(&hl_test::session_cache)) == "hl_test::session_cache");
  CHECK(symbols.name_at(elf_address(reinterpret_cast<void*>(&elf_address))) == "");
  CHECK(symbols.name_at(0) == "");
  CHECK(symbols.name_at(~uint64_t{0}) == "");
}

TEST_CASE("a file that is not there names nothing") {
  CHECK(hl::DataSymbols({"/nowhere/at/all", {}}, {}).name_at(0x1000) == "");
}
