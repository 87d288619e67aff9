// See gate.h.
#include "cli/gate.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "cli/verbs.h"
#include "renderers/github_annotations.h"
#include "renderers/junit_output.h"

namespace hl {
namespace {

void write_junit(const std::string& path, const std::string& xml) {
  const auto fail = [&path] {
    throw UsageError("cannot write the JUnit file " + path + ": " + std::strerror(errno));
  };
  std::FILE* file = std::fopen(path.c_str(), "we");
  if (file == nullptr)
    fail();
  const bool written = std::fwrite(xml.data(), 1, xml.size(), file) == xml.size();
  if (std::fclose(file) != 0 || !written)
    fail();
}

} // namespace

std::vector<Limit> requested_limits(const TraceOptions& options) {
  std::vector<Limit> limits;
  for (const std::string& text : options.limits) {
    const auto limit = parse_limit(text);
    if (!limit)
      throw UsageError("--max wants METRIC=VALUE, such as peak_bytes=100M, not '" + text + "'");
    limits.push_back(*limit);
  }
  if (limits.empty() && (!options.junit_file.empty() || options.github))
    throw UsageError("--junit and --github tell what came of limits; there is no --max");
  return limits;
}

std::vector<CheckResult> limit_checks(const std::vector<Limit>& limits, const std::vector<Metric>& metrics) {
  std::vector<std::string> unusable;
  const std::vector<LimitOutcome> outcomes = check_limits(limits, metrics, unusable);
  if (!unusable.empty())
    throw UsageError(unusable.front() + "; `heapledger metrics TRACE` lists all, and takes --max for each");
  std::vector<CheckResult> checks;
  for (const LimitOutcome& outcome : outcomes) {
    CheckResult check;
    check.group = "limits";
    check.name = outcome.limit.metric;
    check.passed = !outcome.exceeded;
    check.message = outcome.limit.metric + " is " + with_thousands(outcome.value) +
                    (outcome.exceeded ? ", more than " : ", at most ") + with_thousands(outcome.limit.value);
    checks.push_back(std::move(check));
  }
  return checks;
}

int conclude(const TraceOptions& options, const std::string& suite, std::span<const CheckResult> checks) {
  if (!options.junit_file.empty())
    write_junit(options.junit_file, junit_xml(suite, checks));
  if (options.github) {
    const char* workspace = std::getenv("GITHUB_WORKSPACE");
    std::fputs(github_annotations(checks, workspace == nullptr ? "" : workspace).c_str(),
               options.json ? stderr : stdout);
  }
  int code = kExitFine;
  for (const CheckResult& check : checks) {
    if (check.passed)
      continue;
    code = kExitLimitExceeded;
    if (check.group == "limits")
      std::fprintf(stderr, "heapledger: limit exceeded: %s\n", check.message.c_str());
  }
  return code;
}

} // namespace hl
