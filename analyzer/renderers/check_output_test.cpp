// Verdicts for CI systems, byte for byte: JUnit XML and GitHub's annotations.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <vector>

#include "renderers/github_annotations.h"
#include "renderers/junit_output.h"

using namespace hl;

namespace {

CheckResult failed(std::string name, std::string message, std::string details = "", std::string file = "",
                   uint32_t line = 0) {
  return {"leaks", std::move(name), false, std::move(message), std::move(details), std::move(file), line};
}

TEST_CASE("JUnit: passed and failed checks") {
  const std::vector<CheckResult> results = {
      {"limits", "peak_bytes", true, "", "", "", 0},
      {"limits", "exit_blocks", true, "0, at most 10", "", "", 0},
      failed("Session::open", "9 blocks lost", "Session::open\nmain", "net/session.cc", 88)};
  CHECK(junit_xml("run.hlt", results) ==
        R"(<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="heapledger" tests="3" failures="1" errors="0">
  <testsuite name="run.hlt" tests="3" failures="1" errors="0" skipped="0">
    <testcase classname="heapledger.limits" name="peak_bytes"/>
    <testcase classname="heapledger.limits" name="exit_blocks">
      <system-out>0, at most 10</system-out>
    </testcase>
    <testcase classname="heapledger.leaks" name="Session::open" file="net/session.cc" line="88">
      <failure message="9 blocks lost" type="leaks">Session::open
main</failure>
    </testcase>
  </testsuite>
</testsuites>
)");
  CHECK(junit_xml("s", {}) == R"(<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="heapledger" tests="0" failures="0" errors="0">
  <testsuite name="s" tests="0" failures="0" errors="0" skipped="0">
  </testsuite>
</testsuites>
)");
}

TEST_CASE("JUnit: nothing in a text breaks the document") {
  const std::vector<CheckResult> results = {
      failed("std::map<int, \"a\">&", "a\nb\tc\rd", "x ]]> <y> \"q\" \r\n\x01\x1b[31m \xff\xfe caf\xc3\xa9")};
  CHECK(junit_xml("<&\">", results) ==
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
        "<testsuites name=\"heapledger\" tests=\"1\" failures=\"1\" errors=\"0\">\n"
        "  <testsuite name=\"&lt;&amp;&quot;&gt;\" tests=\"1\" failures=\"1\" errors=\"0\" skipped=\"0\">\n"
        "    <testcase classname=\"heapledger.leaks\" name=\"std::map&lt;int, &quot;a&quot;&gt;&amp;\">\n"
        "      <failure message=\"a&#10;b&#9;c&#13;d\" type=\"leaks\">x ]]&gt; &lt;y&gt; \"q\" &#13;\n"
        "\xef\xbf\xbd\xef\xbf\xbd[31m \xef\xbf\xbd\xef\xbf\xbd caf\xc3\xa9</failure>\n"
        "    </testcase>\n"
        "  </testsuite>\n"
        "</testsuites>\n");
  const std::vector<CheckResult> odd = {failed("n", "\xef\xbf\xbe|\xef\xbf\xbf|\xed\xa0\x80|")};
  CHECK(junit_xml("s", odd).find(
            "message=\"\xef\xbf\xbd|\xef\xbf\xbd|\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd|\"") !=
        std::string::npos);
}

TEST_CASE("annotations: escaping, and files as the repository has them") {
  const std::vector<CheckResult> results = {
      {"limits", "peak_bytes", true, "fine", "", "", 0},
      failed("a,b: 100%", "50% lost: x, y", "f\r\ng", "/home/r/work/src/a,b.cc", 12),
      failed("n", "m", "", "/home/r/workshop/x.cc", 0),
      failed("limit", "too much")};
  CHECK(github_annotations(results, "/home/r/work/") ==
        "::error file=src/a%2Cb.cc,line=12,title=heapledger%3A a%2Cb%3A 100%25::50%25 lost: x, y%0Af%0D%0Ag\n"
        "::error file=/home/r/workshop/x.cc,title=heapledger%3A n::m\n"
        "::error title=heapledger%3A limit::too much\n");
  CHECK(github_annotations({}, "") == "");
  const std::vector<CheckResult> odd = {failed("\x1b[1m", "\xff")};
  CHECK(github_annotations(odd, "") == "::error title=heapledger%3A \xef\xbf\xbd[1m::\xef\xbf\xbd\n");
}

TEST_CASE("annotations: as many as GitHub shows") {
  std::vector<CheckResult> results(10, failed("n", "m"));
  const std::string one = "::error title=heapledger%3A n::m\n";
  std::string expected;
  for (int i = 0; i < 10; ++i)
    expected += one;
  CHECK(github_annotations(results, "") == expected);
  results.resize(25, failed("n", "m"));
  expected.resize(9 * one.size());
  CHECK(github_annotations(results, "") ==
        expected + "::error title=heapledger::and 16 more failed checks\n");
}

} // namespace
