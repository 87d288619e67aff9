// Where symbols come from: separate debug files, symbol tables, wrong builds, other machines' trees, the
// cache.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>

#include "symbols/module_files.h"
#include "symbols/result_cache.h"
#include "symbols/symbols_test_support.h"

namespace hl::test {
namespace {

const std::string kProgram = HL_SYMBOL_FIXTURE;
const std::string kObjcopy = std::string(HL_OBJCOPY) + " ";

struct Answer {
  std::vector<std::vector<std::string>> frames; // "function file:line:column"
  ModuleState state;
  bool operator==(const Answer& other) const { return frames == other.frames; }
};

Answer ask(SymbolizerOptions options, const ModuleInfo& info, const std::vector<uint64_t>& addresses,
           bool are_returns = false) {
  Symbolizer symbolizer(std::move(options));
  ModuleId module = symbolizer.add_module(info);
  auto queries = exact_queries(module, addresses);
  for (AddressQuery& query : queries)
    query.is_return_address = are_returns;
  SymbolizedFrames result = symbolizer.symbolize(queries);
  Answer answer;
  answer.state = symbolizer.module_state(module);
  for (size_t i = 0; i < result.size(); ++i) {
    answer.frames.emplace_back();
    for (const Frame& frame : result[i]) {
      answer.frames.back().push_back(std::string(symbolizer.text(frame.function)) + " " +
                                     symbolizer.c_str(frame.file) + ":" + std::to_string(frame.line) + ":" +
                                     std::to_string(frame.column));
    }
  }
  return answer;
}

// The fixture taken apart: stripped program and debug file, both with the build-id of the whole.
struct Split {
  TemporaryDirectory directory;
  std::vector<uint8_t> build_id = open_elf(kProgram)->build_id();
  std::string stripped = directory / "app/program";
  std::string debug = directory / "made/program.debug";

  explicit Split(const std::string& strip_options = "--strip-all") {
    std::filesystem::create_directories(directory / "app");
    std::filesystem::create_directories(directory / "made");
    output_of(kObjcopy + "--only-keep-debug " + kProgram + " " + debug);
    output_of(kObjcopy + strip_options + " " + kProgram + " " + stripped);
  }
  std::string build_id_path(const std::string& dir, const std::string& suffix) const {
    std::string text = build_id_text(build_id);
    return dir + "/.build-id/" + text.substr(0, 2) + "/" + text.substr(2) + suffix;
  }
  void place(const std::string& from, const std::string& to) const { write_file(to, read_file(from)); }
};

std::vector<uint64_t> some_addresses() {
  return random_text_addresses(kProgram, 200);
}

uint64_t address_of(const std::string& name) {
  auto file = open_elf(kProgram);
  SymbolTable symbols;
  symbols.load(file.get(), nullptr);
  const ElfSection* text = file->find(".text");
  for (uint64_t at = text->address; at < text->address + text->size; ++at) {
    const Symbol* symbol = symbols.find(at);
    if (symbol != nullptr && symbol->name == name)
      return at;
  }
  FAIL("no symbol " << name);
  return 0;
}

Answer whole_program() {
  return ask(without_cache(), {kProgram, {}}, some_addresses());
}

TEST_CASE("debug information is found by build-id in a debug directory") {
  Split split;
  split.place(split.debug, split.build_id_path(split.directory / "store", ".debug"));
  SymbolizerOptions options = without_cache();
  options.debug_dirs = {split.directory / "absent", split.directory / "store"};
  Answer answer = ask(options, {split.stripped, split.build_id}, some_addresses());
  CHECK(answer.state.status == ModuleStatus::kDebugInfo);
  CHECK(answer.state.verified);
  CHECK(answer.state.object_path == split.stripped);
  CHECK(answer.frames == whole_program().frames);
}

TEST_CASE("the debug file alone is enough when the program is gone") {
  Split split;
  split.place(split.debug, split.build_id_path(split.directory / "store", ".debug"));
  SymbolizerOptions options = without_cache();
  options.debug_dirs = {split.directory / "store"};
  Answer answer = ask(options, {"/gone/program (deleted)", split.build_id}, some_addresses());
  CHECK(answer.state.status == ModuleStatus::kDebugInfo);
  CHECK(answer.frames[0] == whole_program().frames[0]);
}

TEST_CASE("an unstripped copy in a flat debug directory serves a stripped program") {
  Split split;
  split.place(kProgram, split.directory / "symbols/program");
  SymbolizerOptions options = without_cache();
  options.debug_dirs = {split.directory / "symbols"};
  Answer answer = ask(options, {split.stripped, split.build_id}, some_addresses());
  CHECK(answer.state.status == ModuleStatus::kDebugInfo);
  CHECK(answer.frames == whole_program().frames);
}

TEST_CASE("debug information is found by .gnu_debuglink, checked by CRC where there is no build-id") {
  Split split("--strip-all --remove-section=.note.gnu.build-id");
  std::string debug = split.directory / "app/.debug/program.dbg";
  std::filesystem::create_directories(split.directory / "app/.debug");
  output_of(kObjcopy + "--only-keep-debug --remove-section=.note.gnu.build-id " + kProgram + " " + debug);
  output_of(kObjcopy + "--add-gnu-debuglink=" + debug + " " + split.stripped);
  // The note's segment survives objcopy; what matters is that the id is gone from one side.
  Answer good = ask(without_cache(), {split.stripped, {}}, some_addresses());
  CHECK(good.state.status == ModuleStatus::kDebugInfo);
  CHECK_FALSE(good.state.verified);
  CHECK(good.frames == whole_program().frames);

  std::vector<char> bytes = read_file(debug);
  bytes.push_back('x');
  write_file(debug, bytes);
  Answer bad = ask(without_cache(), {split.stripped, {}}, some_addresses());
  CHECK(bad.state.status != ModuleStatus::kDebugInfo);
}

TEST_CASE("debug information shared by dwz is found, and its absence is said") {
  if (std::system("command -v dwz >/dev/null 2>&1") != 0) {
    std::cout << "SKIPPED: dwz is not installed\n";
    return;
  }
  TemporaryDirectory directory;
  std::string program = directory / "program";
  std::string twin = directory / "twin";
  output_of("cp " + kProgram + " " + program + " && cp " + kProgram + " " + twin);
  output_of("cd " + directory.path() + " && dwz -m common.debug program twin 2>&1");
  REQUIRE(open_elf(program)->find(".gnu_debugaltlink") != nullptr);
  Answer shared = ask(without_cache(), {program, {}}, some_addresses());
  CHECK_FALSE(shared.state.debug_damaged);
  CHECK(shared.frames == whole_program().frames);

  std::filesystem::remove(directory / "common.debug");
  Answer without = ask(without_cache(), {program, {}}, some_addresses());
  CHECK(without.state.debug_damaged);
  // Depth and lines remain; only names that were moved away are missing.
  for (size_t i = 0; i < without.frames.size(); ++i)
    CHECK(without.frames[i].size() == shared.frames[i].size());
}

TEST_CASE("without debug information the symbol table names functions") {
  Split split("--strip-debug");
  Answer answer = ask(without_cache(), {split.stripped, split.build_id}, {address_of("main") + 4});
  CHECK(answer.state.status == ModuleStatus::kSymbolTable);
  CHECK(answer.frames[0] == std::vector<std::string>{"main :0:0"});
}

TEST_CASE("a stripped library names only exported functions, by size") {
  Split split;
  uint64_t exported = address_of("exported_entry");
  uint64_t internal = address_of("_ZL5parseRKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE");
  Answer answer = ask(without_cache(), {split.stripped, split.build_id}, {exported + 1, internal + 1});
  CHECK(answer.state.status == ModuleStatus::kExportedOnly);
  CHECK(answer.frames[0][0].starts_with("exported_entry "));
  // Not the nearest exported name, which would be a lie.
  CHECK(answer.frames[1][0].starts_with("program+0x"));
}

TEST_CASE("PLT entries carry the name of what they call") {
  auto file = open_elf(kProgram);
  std::vector<uint64_t> addresses;
  for (const ElfSection& section : file->sections()) {
    if (!section.name.starts_with(".plt") || section.type != 1)
      continue;
    for (uint64_t at = section.address; at < section.address + section.size; at += 8)
      addresses.push_back(at);
  }
  REQUIRE(!addresses.empty());
  Answer answer = ask(without_cache(), {kProgram, {}}, addresses);
  auto has_plt_name = [](const auto& frames) { return frames[0].find("@plt") != std::string::npos; };
  size_t named = static_cast<size_t>(std::count_if(answer.frames.begin(), answer.frames.end(), has_plt_name));
  CHECK(named > addresses.size() / 2);
  auto is_delete = [](const auto& frames) {
    return frames[0].starts_with("operator delete(void*, unsigned long)@plt");
  };
  CHECK(std::any_of(answer.frames.begin(), answer.frames.end(), is_delete));
}

TEST_CASE("another build of the same program is never used") {
  std::vector<uint8_t> other = open_elf(kProgram)->build_id();
  other[0] ^= 1;
  Answer answer = ask(without_cache(), {kProgram, other}, some_addresses());
  CHECK(answer.state.status == ModuleStatus::kBuildIdMismatch);
  CHECK(answer.state.object_path == kProgram);
  for (const auto& frames : answer.frames) {
    REQUIRE(frames.size() == 1);
    CHECK(frames[0].find("+0x") != std::string::npos);
  }
}

TEST_CASE("a sysroot stands for the traced machine's file system") {
  Split split;
  split.place(split.stripped, split.directory / "root/opt/app/program");
  split.place(split.debug, split.build_id_path(split.directory / "root/usr/lib/debug", ".debug"));
  SymbolizerOptions options = without_cache();
  options.sysroot = split.directory / "root/";
  Answer answer = ask(options, {"/opt/app/program", split.build_id}, some_addresses());
  CHECK(answer.state.status == ModuleStatus::kDebugInfo);
  CHECK(answer.state.object_path == split.directory / "root/opt/app/program");
  CHECK(answer.frames == whole_program().frames);
  // With a sysroot this machine's files count only if the build-id proves them.
  Answer unproven = ask(options, {kProgram, {}}, some_addresses());
  CHECK(unproven.state.status == ModuleStatus::kMissingFile);
}

TEST_CASE("modules without a usable file say why and show module+offset") {
  TemporaryDirectory directory;
  std::string text_file = directory / "text";
  write_file(text_file, {'n', 'o', ' ', 'E', 'L', 'F'});
  struct Case {
    std::string path;
    ModuleStatus status;
    std::string frame;
  };
  for (const Case& c : {Case{"/no/such/lib.so", ModuleStatus::kMissingFile, "lib.so+0x1234 :0:0"},
                        Case{text_file, ModuleStatus::kUnreadable, "text+0x1234 :0:0"},
                        Case{"[vdso]", ModuleStatus::kPseudo, "[vdso]+0x1234 :0:0"},
                        Case{"", ModuleStatus::kPseudo, "?+0x1234 :0:0"}}) {
    CAPTURE(c.path);
    Answer answer = ask(without_cache(), {c.path, {}}, {0x1234});
    CHECK(answer.state.status == c.status);
    CHECK(answer.frames[0] == std::vector<std::string>{c.frame});
    // A return address is shown as it is, though the byte before it is looked up.
    CHECK(ask(without_cache(), {c.path, {}}, {0x1234}, true).frames[0][0] == c.frame);
  }
}

TEST_CASE("a return address is looked up at the call") {
  uint64_t main_begin = address_of("main");
  auto exact = ask(without_cache(), {kProgram, {}}, {main_begin});
  auto before = ask(without_cache(), {kProgram, {}}, {main_begin + 1}, true);
  CHECK(exact.frames == before.frames);
  // The first byte behind a call that does not return belongs to the next function, or to none.
  CHECK(ask(without_cache(), {kProgram, {}}, {main_begin}, true).frames != exact.frames);
}

TEST_CASE("equal questions share their answer and keep their order") {
  Symbolizer symbolizer(without_cache());
  ModuleId program = symbolizer.add_module({kProgram, {}});
  CHECK(symbolizer.add_module({kProgram, {}}) == program);
  ModuleId unknown{77};
  uint64_t main_begin = address_of("main");
  uint64_t entry = address_of("exported_entry");
  std::vector<AddressQuery> queries = {{program, main_begin, false},
                                       {unknown, 5, false},
                                       {program, entry, false},
                                       {program, main_begin, false}};
  SymbolizedFrames frames = symbolizer.symbolize(queries);
  REQUIRE(frames.size() == 4);
  CHECK(frames[0].data() == frames[3].data());
  CHECK(symbolizer.text(frames[0].back().function) == "main");
  CHECK(symbolizer.text(frames[2].back().function) == "exported_entry");
  CHECK(symbolizer.text(frames[1][0].function) == "?+0x5");
  CHECK(symbolizer.symbolize({}).size() == 0);
}

TEST_CASE("the number of threads does not change the answer") {
  SymbolizerOptions one = without_cache();
  one.threads = 1;
  SymbolizerOptions many = without_cache();
  many.threads = 4;
  auto addresses = random_text_addresses(kProgram, 5000);
  CHECK(ask(one, {kProgram, {}}, addresses).frames == ask(many, {kProgram, {}}, addresses).frames);
}

TEST_CASE("answers come from the cache, and only while its source is the same") {
  TemporaryDirectory directory;
  std::string program = directory / "program";
  write_file(program, read_file(kProgram));
  ModuleInfo info{program, open_elf(program)->build_id()};
  SymbolizerOptions options = without_cache();
  options.use_cache = true;
  options.cache_dir = directory / "cache";
  auto addresses = some_addresses();
  Answer first = ask(options, info, addresses);
  std::string cache_file = directory / ("cache/" + build_id_text(info.build_id) + ".symbols");
  REQUIRE(std::filesystem::exists(cache_file));
  auto written = std::filesystem::last_write_time(cache_file);
  CHECK(ask(options, info, addresses).frames == first.frames);
  CHECK(std::filesystem::last_write_time(cache_file) == written);

  SUBCASE("another address is added") {
    addresses.push_back(address_of("exported_entry"));
    CHECK(ask(options, info, addresses).frames.back()[0].starts_with("exported_entry"));
    StringPool pool;
    auto files = open_module_files(info, {});
    CHECK(ResultCache(options.cache_dir, info.build_id, files.fingerprint(), pool).size() > 150);
    CHECK(ResultCache(options.cache_dir, info.build_id, files.fingerprint() + 1, pool).size() == 0);
  }
  SUBCASE("a damaged file is ignored and replaced") {
    std::vector<char> bytes = read_file(cache_file);
    for (size_t at : {size_t{0}, size_t{9}, size_t{30}, bytes.size() / 2, bytes.size() - 1}) {
      std::vector<char> damaged = bytes;
      damaged[at] ^= 4;
      write_file(cache_file, damaged);
      CHECK(ask(options, info, addresses).frames == first.frames);
      CHECK(read_file(cache_file).size() == bytes.size());
    }
    for (size_t size : {size_t{0}, size_t{1}, size_t{15}, size_t{40}, bytes.size() - 1}) {
      write_file(cache_file, std::vector<char>(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(size)));
      CHECK(ask(options, info, addresses).frames == first.frames);
    }
  }
  SUBCASE("a cache that cannot be written does no harm") {
    options.cache_dir = "/proc/no-such-place";
    CHECK(ask(options, info, addresses).frames == first.frames);
  }
}

} // namespace
} // namespace hl::test
