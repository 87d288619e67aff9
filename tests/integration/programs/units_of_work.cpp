// Serves units of work, each with a mark "unit" and the same allocations; what is set up once is the same
// however many units there are.
//
//   units_of_work UNITS [EXTRA]   EXTRA: bytes that each unit allocates beside, in a function of its own
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "heapledger/heapledger.h"

namespace {

volatile size_t sink;

[[gnu::noinline]] void parse() {
  for (size_t i = 0; i < 5; ++i) {
    const std::string word(100 + i, 'w');
    sink = sink + word.size();
  }
}

[[gnu::noinline]] void answer() {
  const std::vector<char> body(2000);
  sink = sink + body.size();
}

[[gnu::noinline]] void log_unit(size_t bytes) {
  void* line = std::malloc(bytes);
  sink = sink + (line != nullptr ? 1 : 0);
  std::free(line);
}

} // namespace

int main(int argc, char** argv) {
  const long units = argc > 1 ? std::atol(argv[1]) : 1;
  const long extra = argc > 2 ? std::atol(argv[2]) : 0;
  for (long i = 0; i < units; ++i) {
    heapledger_mark_here("unit");
    parse();
    answer();
    if (extra > 0)
      log_unit(static_cast<size_t>(extra));
  }
  std::printf("%ld\n", units);
  return 0;
}
