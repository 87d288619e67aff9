// Those of the closing lines that take more than counters: what leaked and where most of it, what resident
// memory consisted of. Asked of the analyzer (its verbs' --closing-line), which is given a moment; a run's
// end waits for no analysis.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace hl {

// The first line that `heapledger WORDS...` prints. `program`: this executable; the analyzer lies beside it.
// "": there is no answer, or not in time.
std::string ask_analyzer(const std::string& program, const std::vector<std::string>& words,
                         uint64_t limit_ns);

} // namespace hl
