// A library: static helpers, an unlikely path that compilers put apart, recursion.
#include "catalog.h"

void* volatile sink_of_codec;

namespace codec {
namespace {

char* copy(const char* text, size_t bytes) {
  char* block = static_cast<char*>(std::malloc(bytes + 1));
  std::memcpy(block, text, bytes);
  block[bytes] = 0;
  sink_of_codec = block;
  return block;
}

[[gnu::noinline, gnu::cold]] void complain(int round) {
  void* report = std::malloc(512 + static_cast<size_t>(round));
  sink_of_codec = report;
  std::free(report);
}

char* widen(char* block, size_t bytes, int rounds) {
  if (rounds == 0)
    return block;
  if (rounds % 7 == 6)
    complain(rounds);
  char* wider = static_cast<char*>(std::malloc(bytes * 2));
  std::memcpy(wider, block, bytes);
  std::free(block);
  sink_of_codec = wider;
  return widen(wider, bytes * 2, rounds - 1);
}

} // namespace

char* encode(const char* text, size_t bytes, int rounds) {
  return widen(copy(text, bytes), bytes, rounds);
}

std::string name_of(int number) {
  std::string name = "a name that is too long for the small string ";
  name += std::to_string(number);
  return name;
}

} // namespace codec
