// See source_tree.h.
#include "budget/source_tree.h"

#include <filesystem>

namespace hl {

namespace fs = std::filesystem;

SourceTree::SourceTree(std::string root) : root_(std::move(root)) {
  if (!root_.empty())
    return;
  std::error_code error;
  const fs::path here = fs::current_path(error);
  root_ = here.string();
  for (fs::path at = here; !at.empty(); at = at.parent_path()) {
    if (fs::exists(at / ".git", error)) {
      root_ = at.string();
      break;
    }
    if (at == at.parent_path())
      break;
  }
}

std::string SourceTree::locate(const std::string& recorded) const {
  const auto found = known_.find(recorded);
  if (found != known_.end())
    return found->second;
  std::string result;
  const std::string normal = fs::path(recorded).lexically_normal().string();
  size_t begin = 0;
  while (result.empty() && begin < normal.size()) {
    while (begin < normal.size() && (normal[begin] == '/' || normal.compare(begin, 3, "../") == 0))
      begin += normal[begin] == '/' ? 1 : 3;
    const std::string rest = normal.substr(begin);
    std::error_code error;
    if (!rest.empty() && rest != ".." && fs::is_regular_file(fs::path(root_) / rest, error))
      result = rest;
    begin = normal.find('/', begin);
    if (begin == std::string::npos)
      break;
  }
  return known_.emplace(recorded, result).first->second;
}

} // namespace hl
