// Any bytes as a budget and as CODEOWNERS: refused with a reason or read, never a crash; numbers that are
// replaced leave a budget that is read again.
#include <cstdint>
#include <string>

#include "budget/budget_file.h"
#include "budget/code_owners.h"
#include "budget/unified_diff.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(data, data + size);
  hl::CodeOwners owners;
  owners.parse(text);
  owners.owners("src/net/a b/session.cc");
  try {
    const hl::Budget budget = hl::parse_budget(text, "fuzz");
    std::vector<hl::NewNumber> numbers;
    for (const hl::BudgetEntry& entry : budget.entries)
      numbers.push_back({entry.pointer, 7});
    const std::string changed = hl::with_numbers(budget, numbers);
    for (const hl::BudgetEntry& entry : hl::parse_budget(changed, "changed").entries)
      if (entry.value != 7)
        __builtin_trap();
    hl::unified_diff("budget.json", &text, changed);
  } catch (const hl::BudgetError&) {
  }
  return 0;
}
