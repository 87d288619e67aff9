// The one line of the closing lines that needs symbols: what leaked, and where most of it. Asked of
// `heapledger leaks TRACE --closing-line`, which is given a second; a run's end waits for no analysis.
#pragma once

#include <cstdint>
#include <string>

namespace hl {

// `program`: this executable; the analyzer lies beside it. "": there is no answer, or not in time.
std::string describe_leaks(const std::string& program, const std::string& trace, uint64_t limit_ns);

} // namespace hl
