// Reading the text of __lsan_default_suppressions out of executables, in the forms compilers give that
// function.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <fstream>
#include <iterator>
#include <random>

#include "suppressions/program_suppressions.h"
#include "suppressions/suppression_parser.h"

namespace {

using namespace hl;

std::string fixture(const std::string& name) {
  return std::string(HL_SUPPRESSIONS_FIXTURES) + "/" + name;
}

std::optional<ProgramSuppressions> read(const std::string& path) {
  ElfError error{};
  const auto file = ElfFile::open(path, error);
  REQUIRE(file != nullptr);
  return read_program_suppressions(*file);
}

constexpr const char* kText = "leak:known_one\n# why\nleak:^libknown\n";

TEST_CASE("a constant text is read however the function reaches it") {
  for (const std::string name : {"literal_pie_O2", "literal_pie_O0", "literal_fixed_O2", "literal_fixed_O0",
                                 "literal_cet", "literal_large", "literal_stripped", "pointer_pie_O2",
                                 "pointer_pie_O0", "pointer_fixed", "pointer_shared"}) {
    CAPTURE(name);
    const auto found = read(fixture(name));
    REQUIRE(found.has_value());
    CHECK(found->problem == "");
    CHECK(found->text == kText);
  }
  for (const std::string name : {"array_shared", "array_pie"}) {
    CAPTURE(name);
    const auto found = read(fixture(name));
    REQUIRE(found.has_value());
    CHECK(found->problem == "");
    CHECK(found->text == "leak:in_array\n");
  }
}

TEST_CASE("a text that is built when the program runs is said to be unreadable") {
  const auto built = read(fixture("built_pie"));
  REQUIRE(built.has_value());
  CHECK(built->text == "");
  CHECK(built->problem == "the function does more than return a constant");
  const auto empty = read(fixture("empty_memory"));
  REQUIRE(empty.has_value());
  CHECK(empty->problem == "what the function returns is no text in the file");
}

TEST_CASE("a null pointer means no suppressions, and no function none at all") {
  const auto null = read(fixture("null_pie"));
  REQUIRE(null.has_value());
  CHECK(null->problem == "");
  CHECK(null->text == "");
  CHECK_FALSE(read(fixture("literal_hidden")).has_value()); // stripped, not exported
  CHECK_FALSE(read("/proc/self/exe").has_value());
}

TEST_CASE("no damage to the file does harm") {
  std::ifstream in(fixture("pointer_shared"), std::ios::binary);
  const std::string whole((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  REQUIRE(whole.size() > 1000);
  std::mt19937 random(7);
  const std::string path = fixture("damaged");
  for (int round = 0; round < 300; ++round) {
    std::string bytes = whole;
    for (int change = 0; change < 8; ++change)
      bytes[random() % bytes.size()] = static_cast<char>(random());
    if (round % 4 == 0)
      bytes.resize(random() % bytes.size());
    std::ofstream(path, std::ios::binary) << bytes;
    ElfError error{};
    if (const auto file = ElfFile::open(path, error))
      static_cast<void>(read_program_suppressions(*file));
  }
  std::remove(path.c_str());
}

} // namespace
