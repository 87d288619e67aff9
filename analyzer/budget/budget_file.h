// A budget: the file that says what a run may use, committed beside the code (docs/ci.md has the whole
// format).
//
//   {
//     "version": 1,
//     "ratchet": "5%",
//     "metrics": {"peak_bytes": {"base": 52428800, "tolerance": "2%"}, "definite.bytes": {"max": 0}},
//     "sites": [{"function": "Cache::fill", "file": "src/cache.cc", "metrics": {"peak_bytes": {"max":
//     "8M"}}}], "tests": {"parse": {"allocation_calls": {"base": 1200, "tolerance": 0}}}
//   }
//
// People write it by hand, so every error names its line and key.
#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "diff/run_profile.h"

namespace hl {

inline constexpr int kBudgetVersion = 1;
inline constexpr double kDefaultRatchetPercent = 5;

// What is wrong with a budget, with line, column and key.
class BudgetError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// "2%" or an amount.
struct Tolerance {
  double percent = 0;
  uint64_t amount = 0;
  double of(uint64_t base) const {
    return static_cast<double>(base) * percent / 100 + static_cast<double>(amount);
  }
};

enum class BudgetGroup : uint8_t { metrics, sites, tests };

struct BudgetEntry {
  BudgetGroup group = BudgetGroup::metrics;
  std::string function, file; // of sites; the file may be empty: any
  std::string test;           // of tests
  std::string metric;         // as `heapledger metrics` calls it
  // What profiles have too. nullopt: the trace alone tells; of `metrics` only, and whether there is such a
  // metric is not known yet.
  std::optional<ProfileMetric> profiled;
  std::string place; // where it stands, for an error: "budget.json: line 2, column 22, at /metrics/x"
  // Either `max`: never more; or `base` with what a run may differ from it, in both directions if the ratchet
  // is on.
  bool relative = false;
  uint64_t value = 0; // of "max" or "base"
  Tolerance tolerance;
  std::string pointer; // JSON pointer of that number, where a new one goes
};

struct Budget {
  std::string text; // as it was read
  std::optional<double> ratchet =
      kDefaultRatchetPercent; // percent below base that asks for a lower one; none: off
  std::vector<BudgetEntry> entries;
  bool has_tests = false;
};

// Throws BudgetError. `name` is the file's, for the message.
Budget parse_budget(const std::string& text, const std::string& name);

// The text with other numbers at some entries' places, else untouched.
struct NewNumber {
  std::string pointer;
  uint64_t value;
};
std::string with_numbers(const Budget& budget, const std::vector<NewNumber>& numbers);

// What an entry is called: "peak_bytes", "Cache::fill src/cache.cc peak_bytes", "parse peak_bytes".
std::string entry_name(const BudgetEntry& entry);

} // namespace hl
