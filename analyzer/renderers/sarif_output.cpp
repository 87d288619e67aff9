// See sarif_output.h.
#include "renderers/sarif_output.h"

#include <nlohmann/json.hpp>

#include <cstdio>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace hl {
namespace {

using Json = nlohmann::ordered_json;

struct Rule {
  const char* id;
  const char* name;
  const char* text;
  SarifLevel level;
  const char* help; // what to do
};
constexpr Rule kRules[] = {
    {"budget/over", "OverBudget", "A measure of the run's memory is more than its budget allows.",
     SarifLevel::error,
     "Make the place use less, or accept the run: `heapledger check` prints the patch of the budget that "
     "does, "
     "and `--update-budget` applies it."},
    {"budget/under", "BudgetCanBeLowered",
     "A measure is better than its budget by more than the ratchet's margin.", SarifLevel::warning,
     "Lower the budget, so that the next change cannot use the gain up unseen: `heapledger check "
     "--update-budget`."},
    {"diff/limit", "DifferenceLimit",
     "A measure grew by more than a limit on the difference of two runs allows.", SarifLevel::error,
     "`heapledger diff BASE NEW --by METRIC` lists the places that the difference comes from."},
    {"diff/grew", "AllocatesMore", "A place allocates more than in the run that it is compared with.",
     SarifLevel::note, "`heapledger diff BASE NEW` shows the stacks behind it."},
};

const char* level_name(SarifLevel level) {
  switch (level) {
  case SarifLevel::error:
    return "error";
  case SarifLevel::warning:
    return "warning";
  case SarifLevel::note:
    break;
  }
  return "note";
}

// RFC 3986: everything but unreserved characters and slashes as %XX.
std::string uri_of(const std::string& path) {
  std::string uri;
  for (const char c : path) {
    const auto byte = static_cast<uint8_t>(c);
    const bool plain = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
                       (byte >= '0' && byte <= '9') || c == '/' || c == '-' || c == '.' || c == '_' ||
                       c == '~';
    char code[4];
    std::snprintf(code, sizeof code, "%%%02X", static_cast<unsigned>(byte));
    uri += plain ? std::string(1, c) : std::string(code);
  }
  return uri;
}

Json location(const SarifFinding& finding) {
  Json artifact;
  if (finding.file.starts_with('/')) {
    artifact["uri"] = "file://" + uri_of(finding.file);
  } else {
    artifact["uri"] = uri_of(finding.file);
    artifact["uriBaseId"] = "%SRCROOT%";
  }
  Json physical = {{"artifactLocation", artifact}};
  if (finding.line != 0)
    physical["region"] = {{"startLine", finding.line}};
  return {{"physicalLocation", physical}};
}

} // namespace

std::string sarif_fingerprint(const SarifFinding& finding) {
  const std::string key = std::string(kRules[static_cast<size_t>(finding.rule)].id) + '\0' + finding.identity;
  char text[24];
  std::snprintf(text, sizeof text, "%016llx",
                static_cast<unsigned long long>(XXH64(key.data(), key.size(), 0)));
  return text;
}

std::string sarif_log(std::span<const SarifFinding> findings, const std::string& version) {
  Json rules = Json::array();
  for (const Rule& rule : kRules)
    rules.push_back({{"id", rule.id},
                     {"name", rule.name},
                     {"shortDescription", {{"text", rule.text}}},
                     {"fullDescription", {{"text", rule.text}}},
                     {"help", {{"text", rule.help}}},
                     {"defaultConfiguration", {{"level", level_name(rule.level)}}}});
  Json results = Json::array();
  for (const SarifFinding& finding : findings) {
    const auto rule = static_cast<size_t>(finding.rule);
    Json result = {{"ruleId", kRules[rule].id},
                   {"ruleIndex", rule},
                   {"level", level_name(finding.level)},
                   {"message", {{"text", finding.message}}}};
    if (!finding.file.empty())
      result["locations"] = Json::array({location(finding)});
    result["partialFingerprints"] = {{"heapledgerPlace/v1", sarif_fingerprint(finding)}};
    results.push_back(std::move(result));
  }
  const Json log = {
      {"$schema", "https://json.schemastore.org/sarif-2.1.0.json"},
      {"version", "2.1.0"},
      {"runs",
       Json::array({{{"tool", {{"driver", {{"name", "heapledger"}, {"version", version}, {"rules", rules}}}}},
                     {"columnKind", "utf16CodeUnits"},
                     {"results", results}}})}};
  return log.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

} // namespace hl
