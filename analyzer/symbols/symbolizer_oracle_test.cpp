// Frames against llvm-symbolizer on 1 000 random addresses of each fixture: functions by linkage name, files,
// lines, columns and the whole chain of inlined calls. The few classes of difference that are meant are named
// in normalized() and explained in docs/symbols.md; everything else fails.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <cstdlib>
#include <iostream>
#include <sstream>

#include "symbols/dwarf_lines.h"
#include "symbols/symbols_test_support.h"

namespace hl::test {
namespace {

struct OracleFrame {
  std::string function, file;
  unsigned line = 0, column = 0;
  bool operator==(const OracleFrame&) const = default;
};

std::ostream& operator<<(std::ostream& out, const OracleFrame& frame) {
  return out << frame.function << " at " << frame.file << ":" << frame.line << ":" << frame.column;
}

std::string find_oracle() {
  for (const char* name : {"llvm-symbolizer-14", "llvm-symbolizer"}) {
    if (std::system((std::string("command -v ") + name + " >/dev/null 2>&1").c_str()) == 0)
      return name;
  }
  return {};
}

// llvm-symbolizer's plain style: per address pairs of lines (function; file:line:column), then an empty line.
std::vector<std::vector<OracleFrame>> ask_oracle(const std::string& oracle, const std::string& object,
                                                 const std::vector<uint64_t>& addresses) {
  TemporaryDirectory directory;
  std::ostringstream list;
  for (uint64_t address : addresses)
    list << "0x" << std::hex << address << "\n";
  std::string text = list.str();
  write_file(directory / "addresses", {text.begin(), text.end()});
  std::istringstream output(
      output_of(oracle + " --obj=" + object + " --inlines --no-demangle < " + (directory / "addresses")));
  std::vector<std::vector<OracleFrame>> answers(1);
  std::string function, place;
  while (std::getline(output, function)) {
    if (function.empty()) {
      answers.emplace_back();
      continue;
    }
    std::getline(output, place);
    size_t column = place.rfind(':');
    size_t line = place.rfind(':', column - 1);
    answers.back().push_back({function, place.substr(0, line),
                              static_cast<unsigned>(std::stoul(place.substr(line + 1))),
                              static_cast<unsigned>(std::stoul(place.substr(column + 1)))});
  }
  answers.resize(addresses.size());
  return answers;
}

// C1 and D1 (complete object) to C2 and D2 (base object), where an argument list or the end of a scope
// follows.
std::string as_base_object(std::string name) {
  for (size_t at = 0; at + 2 < name.size(); ++at) {
    bool is_structor = (name[at] == 'C' || name[at] == 'D') && name[at + 1] == '1';
    if (is_structor && (name[at + 2] == 'E' || name[at + 2] == 'I'))
      name[at + 1] = '2';
  }
  return name;
}

// Meant differences, taken out of both sides:
std::vector<OracleFrame> normalized(std::vector<OracleFrame> frames) {
  for (OracleFrame& frame : frames) {
    // 1. The oracle replaces the outermost name by a symbol of the same address: a clone (.cold, .isra.0) ...
    frame.function = frame.function.substr(0, frame.function.find('.'));
    // 2. ... or the complete-object alias (C1, D1) of the constructor that DWARF names (C2, D2).
    frame.function = as_base_object(frame.function);
    // 3. Paths are made canonical here.
    frame.file = frame.file == "??" ? "" : normalize_path(frame.file);
    if (frame.function == "??")
      frame.function.clear();
  }
  // 4. Without line information the oracle takes the file from STT_FILE symbols.
  if (frames.size() == 1 && frames[0].line == 0)
    frames[0].file.clear();
  return frames;
}

std::vector<OracleFrame> ours(const Symbolizer& symbolizer, std::span<const Frame> frames) {
  std::vector<OracleFrame> result;
  for (const Frame& frame : frames) {
    bool has_linkage_name = frame.linkage_name != StringId::kEmpty;
    OracleFrame plain{symbolizer.c_str(has_linkage_name ? frame.linkage_name : frame.function),
                      symbolizer.c_str(frame.file), frame.line, frame.column};
    // 5. Code that nothing names: "??" there, module+offset here.
    if (frame.source == NameSource::kModuleOffset)
      plain.function.clear();
    result.push_back(plain);
  }
  return result;
}

TEST_CASE("frames equal llvm-symbolizer's on random addresses") {
  std::string oracle = find_oracle();
  if (oracle.empty()) {
    std::cout << "SKIPPED: llvm-symbolizer is not installed (Debian: llvm-14)\n";
    return;
  }
  std::istringstream fixtures(HL_SYMBOL_FIXTURES);
  std::string fixture;
  size_t fixture_count = 0;
  while (std::getline(fixtures, fixture, ':')) {
    CAPTURE(fixture);
    std::vector<uint64_t> addresses = random_text_addresses(fixture, 1000);
    auto expected = ask_oracle(oracle, fixture, addresses);
    Symbolizer symbolizer(without_cache());
    ModuleId module = symbolizer.add_module({fixture, open_elf(fixture)->build_id()});
    SymbolizedFrames frames = symbolizer.symbolize(exact_queries(module, addresses));
    CHECK(symbolizer.module_state(module).status == ModuleStatus::kDebugInfo);
    size_t inlined = 0;
    for (size_t i = 0; i < addresses.size(); ++i) {
      CAPTURE(addresses[i]);
      std::vector<OracleFrame> got = normalized(ours(symbolizer, frames[i]));
      std::vector<OracleFrame> wanted = normalized(expected[i]);
      REQUIRE(got.size() == wanted.size());
      for (size_t k = 0; k < got.size(); ++k)
        CHECK(got[k] == wanted[k]);
      for (size_t k = 0; k < got.size(); ++k)
        CHECK(frames[i][k].inlined == (k + 1 < got.size()));
      inlined += got.size() - 1;
    }
    // The fixture is worthless for this test if the compiler did not inline.
    CHECK(inlined > 1000);
    ++fixture_count;
  }
  CHECK(fixture_count >= 2);
}

} // namespace
} // namespace hl::test
