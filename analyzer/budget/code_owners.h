// Who owns a file, as a CODEOWNERS file of GitHub or GitLab says: patterns like those of gitignore, of which
// the last that matches decides.
//
//   *              @everyone          any file
//   *.cc           @cpp               by name, at any depth
//   /src/net/      @net               a directory at the top
//   docs/*         @writers           files directly in it
//   src/**/test_*  @qa                "**": any directories
//   vendor/                           no owner: nobody, whatever earlier lines said
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace hl {

class CodeOwners {
 public:
  // Any bytes are accepted; lines that are no rule (sections of GitLab, negations) are skipped.
  void parse(std::string_view text);
  // Owners of a path relative to the repository, as written, between blanks; "": nobody is named.
  std::string owners(std::string_view path) const;
  bool empty() const { return rules_.empty(); }

 private:
  struct Rule {
    std::string pattern; // without leading and trailing slash
    bool anchored;       // to the top
    bool directory;      // what lies below alone
    std::string owners;
  };
  static bool matches(const Rule& rule, std::string_view path);
  std::vector<Rule> rules_;
};

// The first of .github/CODEOWNERS, CODEOWNERS and docs/CODEOWNERS below `root`; none of them: an empty one.
CodeOwners read_code_owners(const std::string& root);

} // namespace hl
