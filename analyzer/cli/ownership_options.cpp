// See ownership_options.h.
#include "cli/ownership_options.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "cli/trace_options.h"

namespace hl {
namespace {
constexpr uintmax_t kMaxTextBytes = uintmax_t{16} << 20;
}

void OwnershipOptions::add_options(CLI::App& app) {
  app.add_option("--source-root", source_root,
                 "the repository whose files are named (default: the nearest .git upward from here)")
      ->option_text("DIR");
  app.add_option("--codeowners", owners_file,
                 "who owns which file (default: .github/CODEOWNERS, CODEOWNERS or docs/CODEOWNERS there)")
      ->option_text("FILE");
}

Ownership OwnershipOptions::ownership() const {
  Ownership ownership{SourceTree(source_root), {}};
  if (owners_file.empty())
    ownership.owners = read_code_owners(ownership.tree.root());
  else
    ownership.owners.parse(read_text_file(owners_file, "CODEOWNERS file"));
  return ownership;
}

std::string read_text_file(const std::string& path, const std::string& what) {
  std::error_code error;
  std::ifstream file(path, std::ios::binary);
  if (!file || std::filesystem::is_directory(path, error))
    throw UsageError("cannot read the " + what + " " + path + ": " + std::strerror(file ? EISDIR : errno));
  if (std::filesystem::is_regular_file(path, error) &&
      std::filesystem::file_size(path, error) > kMaxTextBytes)
    throw UsageError("the " + what + " " + path + " is larger than 16 MiB");
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

void write_file(const std::string& path, std::string_view bytes, const std::string& what) {
  const auto fail = [&] {
    throw UsageError("cannot write the " + what + " " + path + ": " + std::strerror(errno));
  };
  std::error_code error;
  // A pipe or /dev/stdout is written as it is.
  const auto status = std::filesystem::status(path, error);
  const bool replaced = !std::filesystem::exists(status) || std::filesystem::is_regular_file(status);
  // Behind a link is the file that is meant.
  const std::string target =
      replaced && std::filesystem::exists(status) ? std::filesystem::canonical(path, error).string() : path;
  const std::string written = replaced ? target + ".new." + std::to_string(::getpid()) : path;
  std::FILE* file = std::fopen(written.c_str(), "we");
  if (file == nullptr)
    fail();
  const bool whole = std::fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size();
  if (std::fclose(file) != 0 || !whole || (replaced && std::rename(written.c_str(), target.c_str()) != 0)) {
    const int reason = errno;
    if (replaced)
      std::remove(written.c_str());
    errno = reason;
    fail();
  }
}

} // namespace hl
