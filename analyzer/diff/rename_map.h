// Functions that have another name in the newer build: what a person says (--renames FILE) so that their
// sites match.
//
//   # comment
//   app::Cache::fill = app::Store::fill      a function, with or without parameters and template arguments
//   app::cache:: = app::store::              everything in a namespace or class
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace hl {

class RenameMap {
 public:
  // Adds the lines of a text; `wrong` gets "NAME:LINE: reason" of each that cannot be.
  void parse(std::string_view text, const std::string& name, std::vector<std::string>& wrong);
  // The newer name of a canonical name: itself if nobody says otherwise.
  std::string renamed(std::string_view canonical) const;
  bool empty() const { return functions_.empty() && scopes_.empty(); }

 private:
  std::unordered_map<std::string, std::string> functions_;  // canonical names
  std::vector<std::pair<std::string, std::string>> scopes_; // end in "::"; the longest first
};

// Reads a whole file. `wrong`: also that it cannot be read.
RenameMap read_renames(const std::string& path, std::vector<std::string>& wrong);

} // namespace hl
