// Findings as SARIF 2.1.0 (OASIS standard), which code hosts show beside the lines they are about.
//
// Fingerprints are made of names that survive another build and moved lines, never of lines or numbers: a
// finding stays the same alert from run to run. What goes in is the finding's rule and `identity`.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace hl {

enum class SarifLevel : uint8_t { error, warning, note };

enum class SarifRule : uint8_t { budget_over, budget_under, diff_limit, diff_grew };

struct SarifFinding {
  SarifRule rule = SarifRule::budget_over;
  SarifLevel level = SarifLevel::error;
  std::string message;
  std::string file; // relative to the repository, else absolute; empty: nowhere
  uint32_t line = 0;
  std::string identity; // of what it is about
};

// The whole document, ends in a line break. The same findings give the same bytes.
std::string sarif_log(std::span<const SarifFinding> findings, const std::string& version);
// In hexadecimal.
std::string sarif_fingerprint(const SarifFinding& finding);

} // namespace hl
