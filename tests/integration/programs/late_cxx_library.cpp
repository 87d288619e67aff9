// The C++ library of late_cxx: an array, a vector, and an exception that crosses two frames.
#include <stdexcept>
#include <vector>

namespace {
[[gnu::noinline]] long throw_unless(long number, long limit) {
  const std::vector<long> values(static_cast<size_t>(number), limit);
  if (number < limit)
    throw std::runtime_error("an exception from a library that was loaded late");
  return values.front();
}
} // namespace

extern "C" __attribute__((visibility("default"))) long allocate_in_late_library(long number) {
  long* volatile array = new long[100];
  array[number] = number;
  try {
    array[number] += throw_unless(number, 100);
  } catch (const std::exception&) {
    array[number] += 35;
  }
  const long result = array[number];
  delete[] array;
  return result;
}
