// Which libraries count as bringing an operator new of their own, and which programs load one.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include <sys/stat.h>

#include "elf_symbols.h"
#include "operator_library.h"

namespace {

const std::string kOwnHeap = HL_FIXTURE_OWN_HEAP; // defines malloc and operator new
const std::string kOwnPool = HL_FIXTURE_OWN_POOL; // defines operator new, does without malloc
const std::string kLayer = HL_FIXTURE_LAYER;      // defines operator new over somebody else's malloc
const std::string kProgram = HL_FIXTURE_PROGRAM;  // linked against kOwnHeap
const std::string kPlainProgram = HL_FIXTURE_PLAIN_PROGRAM;

struct Preloading {
  explicit Preloading(const std::string& library) { setenv("LD_PRELOAD", library.c_str(), 1); }
  ~Preloading() { unsetenv("LD_PRELOAD"); }
};

struct Directory {
  std::string path;
  Directory() {
    char name[] = "/tmp/hl-operator-test-XXXXXX";
    path = mkdtemp(name);
  }
  ~Directory() { std::filesystem::remove_all(path); }
};

} // namespace

TEST_CASE("an allocator library counts, a layer over malloc does not") {
  CHECK(hl::is_operator_library(kOwnHeap));
  CHECK(hl::is_operator_library(kOwnPool));
  CHECK_FALSE(hl::is_operator_library(kLayer));
}

TEST_CASE("symbols are told apart by what defines them") {
  const hl::ElfSymbols layer(kLayer);
  CHECK(layer.defines("_Znwm"));
  CHECK_FALSE(layer.imports("_Znwm"));
  CHECK(layer.imports("malloc"));
  CHECK_FALSE(layer.defines("malloc"));
  CHECK_FALSE(layer.defines("_Znw"));
  CHECK(layer.interpreter().empty());
}

TEST_CASE("a program linked with one") {
  CHECK(hl::brings_operator_new(kProgram));
  CHECK_FALSE(hl::brings_operator_new(kPlainProgram));
}

TEST_CASE("found in PATH, through a symbolic link and from a script") {
  Directory place;
  std::filesystem::create_symlink(kProgram, place.path + "/linked-program");
  const char* const searched = std::getenv("PATH");
  REQUIRE(searched != nullptr);
  const std::string path = searched;
  setenv("PATH", (path + ":" + place.path).c_str(), 1);
  CHECK(hl::brings_operator_new("linked-program"));
  setenv("PATH", path.c_str(), 1);
  CHECK_FALSE(hl::brings_operator_new("linked-program"));

  const std::string script = place.path + "/script";
  std::ofstream(script) << "#! " << kProgram << " -x\n";
  chmod(script.c_str(), 0755);
  CHECK(hl::brings_operator_new(script));
}

TEST_CASE("a program that is preloaded with one") {
  {
    const Preloading preloading(kOwnHeap);
    CHECK(hl::brings_operator_new(kPlainProgram));
  }
  {
    const Preloading preloading(kLayer);
    CHECK_FALSE(hl::brings_operator_new(kPlainProgram));
  }
}

TEST_CASE("what cannot be decided is a no") {
  Directory place;
  CHECK_FALSE(hl::brings_operator_new(place.path));
  CHECK_FALSE(hl::brings_operator_new(place.path + "/nothing"));
  CHECK_FALSE(hl::brings_operator_new(""));
  CHECK_FALSE(hl::brings_operator_new(kOwnHeap));
  const std::string copy = place.path + "/set-user-id";
  std::filesystem::copy_file(kProgram, copy);
  REQUIRE(chmod(copy.c_str(), 04755) == 0);
  CHECK_FALSE(hl::brings_operator_new(copy));
}

TEST_CASE("damaged files are read without harm") {
  Directory place;
  std::ifstream file(kLayer, std::ios::binary);
  const std::string whole((std::istreambuf_iterator<char>(file)), {});
  const std::string path = place.path + "/damaged.so";
  const auto write = [&](const std::string& bytes) {
    std::ofstream(path, std::ios::binary | std::ios::trunc)
        .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  };
  for (size_t length = 0; length < whole.size(); length += 1 + length / 16) {
    write(whole.substr(0, length));
    CHECK_FALSE(hl::is_operator_library(path));
  }
  // Headers, dynamic section and tables are in the first pages; a wrong byte may change the answer, not more.
  unsigned answers = 0;
  for (size_t n = 0; n < whole.size() && n < 0x600; n += 3) {
    std::string bytes = whole;
    bytes[n] = static_cast<char>(~bytes[n]);
    write(bytes);
    answers += hl::ElfSymbols(path).defines("_Znwm") ? 1 : 0;
  }
  CHECK(answers > 0);
}
