// From files as debug information names them, which depends on where a build was made, to files of the
// repository that lies here.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>

namespace hl {

class SourceTree {
 public:
  // `root` empty: the nearest directory from here upward that has a .git; without one, this directory.
  explicit SourceTree(std::string root);

  const std::string& root() const { return root_; }
  // The path relative to the root: the longest end of `recorded` that exists there. "": none does.
  std::string locate(const std::string& recorded) const;

 private:
  std::string root_;
  mutable std::unordered_map<std::string, std::string> known_;
};

} // namespace hl
