// Growth and missing frees, in words for people and as JSON: parts for `leaks` to put in their places.
#pragma once

#include <string>
#include <vector>

#include "analyses/growth.h"
#include "analyses/missing_free.h"
#include "renderers/json_writer.h"
#include "renderers/text_style.h"

namespace hl {

// A clause without a full stop: "grows by 1.2 MiB an hour ...", "keeps its size since 3.1 s while ...";
// empty: there is nothing to say.
std::string growth_clause(const Growth& growth, const Generations& generations, const TextStyle& style);
// Live bytes by generation, as one short line of bars.
std::string growth_sparkline(const Growth& growth, const TextStyle& style);

// "Growing": the places, at most `top` of them (0: all), with a heading. Empty: none grows.
std::string growing_text(const std::vector<GrowingPlace>& places, const std::vector<SiteGroup>& groups,
                         const Generations& generations, size_t top, const TextStyle& style);

// "What stayed after each iteration": a table with a heading. `groups`: those the iterations were asked with.
std::string iterations_text(const std::vector<GrowthAnalysis::Iteration>& iterations,
                            const Generations& generations, const std::vector<SiteGroup>& groups,
                            const TextStyle& style);

// "412 000 siblings were freed by Session::close; the 9 310 survivors all came through handle_timeout".
// Empty: there is nothing to say.
std::string missing_free_sentence(const MissingFree& missing, const std::vector<ThreadTotals>& threads,
                                  const TextStyle& style);
// What would tell more; empty: nothing would.
std::string missing_free_hint(const MissingFree& missing);

// Each writes one object as a value.
void growth_json(const Growth& growth, JsonWriter& json);
void generations_json(const std::vector<GrowthAnalysis::Iteration>& iterations,
                      const Generations& generations, const std::vector<SiteGroup>& groups, JsonWriter& json);
void missing_free_json(const MissingFree& missing, const std::vector<ThreadTotals>& threads,
                       JsonWriter& json);

} // namespace hl
