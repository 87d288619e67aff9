// Whose file it is.
#include "budget/code_owners.h"

#include <doctest/doctest.h>

namespace hl {
namespace {

std::string owners(std::string_view rules, std::string_view path) {
  CodeOwners parsed;
  parsed.parse(rules);
  return parsed.owners(path);
}

bool matches(const std::string& pattern, std::string_view path) {
  return owners(pattern + " @x\n", path) == "@x";
}

} // namespace

TEST_CASE("the last rule that matches decides") {
  const char* rules = "# all\n* @all\n*.cc @cpp me@example.org\n/src/net/ @net # inline\nsrc/net/vendor/\n";
  CHECK(owners(rules, "README.md") == "@all");
  CHECK(owners(rules, "lib/a.cc") == "@cpp me@example.org");
  CHECK(owners(rules, "src/net/a.cc") == "@net");
  CHECK(owners(rules, "src/net/deep/a.cc") == "@net");
  CHECK(owners(rules, "src/net/vendor/z.c") == "");
  CHECK(owners("", "a") == "");
}

TEST_CASE("patterns as documented by GitHub") {
  CHECK(matches("*.js", "deep/down/a.js"));
  CHECK(!matches("*.js", "a.jsx"));
  CHECK(matches("/build/logs/", "build/logs/x/y"));
  CHECK(!matches("/build/logs/", "other/build/logs/x"));
  CHECK(matches("docs/*", "docs/a.md"));
  CHECK(!matches("docs/*", "docs/sub/a.md"));
  CHECK(matches("apps/", "deep/apps/a"));
  CHECK(matches("apps/", "apps/a/b"));
  CHECK(!matches("apps/", "apps"));
  CHECK(matches("/docs", "docs/a"));
  CHECK(!matches("/docs", "src/docs/a"));
  CHECK(matches("**/logs", "logs/a"));
  CHECK(matches("**/logs", "build/x/logs/a/b"));
  CHECK(!matches("**/logs", "build/mylogs/a"));
  CHECK(matches("src/**/test.c", "src/test.c"));
  CHECK(matches("src/**/test.c", "src/a/b/test.c"));
  CHECK(!matches("src/**/test.c", "src/a/contest.c"));
  CHECK(matches("src/**", "src/a/b"));
  CHECK(!matches("src/**", "other/src/a"));
  CHECK(matches("src/a?c.h", "src/abc.h"));
  CHECK(!matches("src/a?c.h", "src/a/c.h"));
  CHECK(!matches("src/*.h", "src/a/b.h"));
  CHECK(matches("with\\ blank.c", "with blank.c"));
}

TEST_CASE("what is no rule is skipped, hostile patterns end") {
  CHECK(owners("[Section][2] @x\n^[Optional]\n!a @x\n\n   \n/ @x\n", "a") == "");
  std::string stars;
  for (int i = 0; i < 200; ++i)
    stars += "**/*a";
  CHECK(!matches(stars, std::string(2000, 'a') + "b"));
  CHECK(owners("a.c @x\r\n", "a.c") == "@x");
}

} // namespace hl
