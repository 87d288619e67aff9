// `ledger`: resident memory in accounts that add up, as text for people and as JSON.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ledger/ledger_course.h"
#include "ledger/seen_number.h"
#include "renderers/heap_output.h"

namespace hl {

struct LedgerAnswer {
  const HeapAnswer& heap; // replayed up to the sample
  const ResidencySample& sample;
  const Ledger& ledger;
  std::vector<LedgerPoint> course; // of chosen samples, oldest first; may be empty
  LedgerForecast forecast;
  std::optional<SeenNumber> seen;
  std::vector<Meaning> meanings; // of it, nearest first
  int64_t distance_ns = 0;       // the sample is so much later than the moment that was asked for
};

std::string ledger_text(const LedgerAnswer& answer, const TextStyle& style);
// One line for the end of a run. `most_rss`: the most that any counter showed, which the sample may have
// missed.
std::string ledger_line(const LedgerAnswer& answer, uint64_t most_rss, const TextStyle& style);
void ledger_json(const LedgerAnswer& answer, JsonWriter& json);

// "explains the number": a part of the text, and all of it where only that was asked for.
std::string seen_text(const LedgerAnswer& answer, const TextStyle& style);

// An owner as people see it: sites whose first own line is the same taken together.
struct OwnerPlace {
  uint64_t bytes = 0;
  uint32_t site = 0; // the one with most; 0: `frame` is empty and `name` says who
  ResolvedFrame frame;
  std::string name;
};
std::vector<OwnerPlace> owner_places(const std::vector<AccountOwner>& owners, const HeapAnswer& heap);

} // namespace hl
