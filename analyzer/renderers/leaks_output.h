// `leaks`: what leaked, by class and site, as text for people and as JSON.
#pragma once

#include <string>
#include <vector>

#include "analyses/leak_study.h"
#include "renderers/heap_output.h"

namespace hl {

// A rule that suppressed something, and how much.
struct SuppressionHits {
  std::string name, source;
  BlockSum sum;
};

struct LeaksAnswer {
  const HeapAnswer& heap; // replayed up to the scan's moment, or the end
  const LeakReport& report;
  const LeakStudy& study;
  const LeakScan* scan = nullptr;               // nullptr: there is none
  const std::vector<LeakScan>& scans;           // all of the trace, facts alone
  const GrowthAnalysis* growth = nullptr;       // nullptr: growth was not asked for
  std::vector<SuppressionHits> suppressed = {}; // most bytes first
  bool with_reachable = false;                  // list what is reachable too
  bool with_contents = false;                   // show example blocks and how they begin
};

std::string leaks_text(const LeaksAnswer& answer, const TextStyle& style);
void leaks_json(const LeaksAnswer& answer, JsonWriter& json);
// One line for the end of a run.
std::string leaks_line(const LeaksAnswer& answer, const TextStyle& style);

} // namespace hl
