// Damaged ELF and DWARF: every truncation and garbling still gives one answer per question and never a crash.
// Worth most under the asan preset. Damage is seeded, so that a failure can be repeated.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <cstring>
#include <random>

#include "symbols/symbols_test_support.h"

namespace hl::test {
namespace {

const std::string kProgram = HL_SYMBOL_FIXTURE;

void must_answer(const std::string& path, const std::vector<uint64_t>& addresses) {
  Symbolizer symbolizer(without_cache());
  ModuleId module = symbolizer.add_module({path, {}});
  SymbolizedFrames frames = symbolizer.symbolize(exact_queries(module, addresses));
  REQUIRE(frames.size() == addresses.size());
  for (size_t i = 0; i < frames.size(); ++i) {
    REQUIRE(!frames[i].empty());
    for (const Frame& frame : frames[i])
      REQUIRE(frame.function != StringId::kEmpty);
    CHECK_FALSE(frames[i].back().inlined);
  }
}

struct Extent {
  uint64_t offset;
  uint64_t size;
};

std::vector<Extent> section_extents(const std::vector<std::string>& names) {
  auto file = open_elf(kProgram);
  std::vector<Extent> extents;
  for (const std::string& name : names) {
    if (const ElfSection* section = file->find(name))
      extents.push_back({section->offset, section->size});
  }
  return extents;
}

TEST_CASE("truncated files") {
  TemporaryDirectory directory;
  std::string path = directory / "program";
  std::vector<char> whole = read_file(kProgram);
  auto addresses = random_text_addresses(kProgram, 40);
  std::mt19937 random(1);
  std::vector<size_t> sizes = {0, 1, 4, 15, 16, 20, 52, 63, 64, 65, 100, whole.size() - 1};
  for (int i = 0; i < 60; ++i)
    sizes.push_back(random() % whole.size());
  for (size_t size : sizes) {
    CAPTURE(size);
    write_file(path, std::vector<char>(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size)));
    must_answer(path, addresses);
  }
}

TEST_CASE("garbled headers, symbols and debug information") {
  TemporaryDirectory directory;
  std::string path = directory / "program";
  std::vector<char> whole = read_file(kProgram);
  auto addresses = random_text_addresses(kProgram, 40);
  std::vector<Extent> targets = section_extents(
      {".debug_info", ".debug_abbrev", ".debug_line", ".debug_line_str", ".debug_rnglists", ".debug_aranges",
       ".debug_str", ".symtab", ".strtab", ".rela.plt", ".plt", ".dynsym", ".note.gnu.build-id"});
  targets.push_back({0, 64});
  targets.push_back({64, 600}); // program headers
  uint64_t section_headers = 0;
  std::memcpy(&section_headers, whole.data() + 40, sizeof section_headers);
  targets.push_back({section_headers, whole.size() - section_headers});
  REQUIRE(targets.size() >= 12);
  constexpr unsigned char kNasty[] = {0x00, 0x01, 0x7f, 0x80, 0xff, 0xfe, 0x10};
  std::mt19937 random(2);
  for (int round = 0; round < HL_HOSTILE_ROUNDS; ++round) {
    CAPTURE(round);
    std::vector<char> bytes = whole;
    const Extent& target = targets[static_cast<size_t>(round) % targets.size()];
    unsigned changes = 1u << (random() % 9);
    for (unsigned i = 0; i < changes; ++i) {
      // Half of the damage near the begin, where headers and the abbreviations in use are.
      uint64_t reach = random() % 2 == 0 ? std::min<uint64_t>(target.size, 256) : target.size;
      bytes[target.offset + random() % reach] =
          static_cast<char>(random() % 2 == 0 ? kNasty[random() % sizeof kNasty] : random() % 256);
    }
    write_file(path, bytes);
    must_answer(path, addresses);
  }
}

TEST_CASE("one unit is damaged, its neighbours still answer") {
  TemporaryDirectory directory;
  std::string path = directory / "program";
  std::vector<char> bytes = read_file(kProgram);
  Extent abbreviations = section_extents({".debug_abbrev"}).at(0);
  std::memset(bytes.data() + abbreviations.offset, 0xff, abbreviations.size);
  write_file(path, bytes);
  auto addresses = random_text_addresses(kProgram, 40);
  Symbolizer symbolizer(without_cache());
  ModuleId module = symbolizer.add_module({path, {}});
  SymbolizedFrames frames = symbolizer.symbolize(exact_queries(module, addresses));
  size_t named = 0;
  for (size_t i = 0; i < frames.size(); ++i)
    named += frames[i][0].source == NameSource::kSymbolTable;
  CHECK(named > 30);
  CHECK(symbolizer.module_state(module).debug_damaged);
}

} // namespace
} // namespace hl::test
