// A test suite in small: two tests, each between marks, and a cache whose size is told. usage: budget_subject
// CACHE_BYTES
#include <heapledger/heapledger.h>

#include <cstdlib>
#include <memory>
#include <vector>

namespace app {

struct Cache {
  std::unique_ptr<char[]> bytes;
  __attribute__((noinline)) void fill(size_t size) { bytes = std::make_unique<char[]>(size); }
};

__attribute__((noinline)) std::unique_ptr<char[]> parse_line() {
  return std::make_unique<char[]>(1000);
}

} // namespace app

int main(int argc, char** argv) {
  app::Cache cache;
  cache.fill(argc > 1 ? static_cast<size_t>(std::atol(argv[1])) : 1000000);
  heapledger_mark_here("test:parse");
  std::vector<std::unique_ptr<char[]>> lines;
  lines.reserve(50);
  for (int i = 0; i < 50; ++i)
    lines.push_back(app::parse_line());
  lines.clear();
  heapledger_mark_here("test:keep");
  lines.push_back(app::parse_line());
  heapledger_mark_here("test:");
  lines.push_back(app::parse_line());
  return 0;
}
