// Explains a number that somebody saw in another tool ("92M:dumpsys") by the ledger: what that tool counts,
// which accounts it contains and which it leaves out, and what it comes to at this moment.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ledger/ledger.h"
#include "reader/memory_samples.h"

namespace hl {

struct SeenNumber {
  uint64_t bytes = 0;
  std::string tool; // as given; "": any
};
// BYTES[:TOOL], with k, M, G or KiB, MiB, GiB (1024). nullopt: not one.
std::optional<SeenNumber> parse_seen_number(std::string_view text);

// One thing that a tool shows.
struct Meaning {
  std::string tool;                                     // "top"
  std::string shown;                                    // "RES"
  std::string means;                                    // in words
  uint64_t bytes = 0;                                   // what it would show now
  std::vector<std::pair<Account, uint64_t>> contains;   // of the ledger
  std::vector<std::pair<std::string, uint64_t>> beyond; // what it counts that is in no account
  std::vector<std::pair<std::string, uint64_t>> less; // what it counts less of (shared pages: a part of each)
};

struct SeenSources {
  const Ledger* ledger = nullptr;
  const RegionMap* map = nullptr;
  UsageValues usage;
  uint64_t live_bytes = 0; // requested, resident or not
  uint64_t peak_live_bytes = 0;
};

// What the tools that go by this name show. First what the number most likely is: of a tool's numbers the one
// people mean (its first) unless that is off and another fits to 5 %; without a tool the nearest. Then the
// others, nearest first. `tool` empty: all of them. Empty: there is no such tool.
std::vector<Meaning> meanings_of(const SeenNumber& seen, const SeenSources& sources);
std::vector<std::string> known_tools();

} // namespace hl
