// What the tests of this folder share: a temporary directory, running a tool, addresses of a fixture's code.
#pragma once

#include <stdlib.h>

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "symbols/elf_file.h"
#include "symbols/symbolizer.h"

namespace hl::test {

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "hl-symbols-XXXXXX").string();
    REQUIRE(mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// Standard output of a shell command; the command must succeed.
inline std::string output_of(const std::string& command) {
  FILE* pipe = popen(command.c_str(), "r");
  REQUIRE(pipe != nullptr);
  std::string output;
  char buffer[4096];
  while (size_t got = fread(buffer, 1, sizeof buffer, pipe))
    output.append(buffer, got);
  INFO("command: " << command);
  REQUIRE(pclose(pipe) == 0);
  return output;
}

inline std::vector<char> read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline void write_file(const std::string& path, const std::vector<char>& bytes) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

inline std::unique_ptr<ElfFile> open_elf(const std::string& path) {
  ElfError error = ElfError::kNone;
  auto file = ElfFile::open(path, error);
  REQUIRE(file != nullptr);
  return file;
}

inline std::vector<uint64_t> random_text_addresses(const std::string& path, size_t count) {
  auto file = open_elf(path);
  const ElfSection* text = file->find(".text");
  REQUIRE(text != nullptr);
  std::mt19937_64 random(20240607);
  std::vector<uint64_t> addresses;
  for (size_t i = 0; i < count; ++i)
    addresses.push_back(text->address + random() % text->size);
  return addresses;
}

inline std::vector<AddressQuery> exact_queries(ModuleId module, const std::vector<uint64_t>& addresses) {
  std::vector<AddressQuery> queries;
  for (uint64_t address : addresses)
    queries.push_back({module, address, false});
  return queries;
}

// A symbolizer that neither reads nor writes this user's cache.
inline SymbolizerOptions without_cache() {
  SymbolizerOptions options;
  options.use_cache = false;
  options.threads = 2;
  return options;
}

} // namespace hl::test
