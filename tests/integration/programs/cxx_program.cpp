// Ordinary C++: containers, strings, shared pointers, exceptions thrown through several frames and caught,
// threads of std, iostreams. Single-threaded by default, so deterministic: Valgrind's totals must equal the
// recorded ones, and the shim must not disturb unwinding. Prints a checksum.
//
// usage: cxx_program [ROUNDS [threads]]
#include <future>
#include <iostream>
#include <map>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

struct Shape {
  virtual ~Shape() = default;
  virtual long area() const = 0;
};
struct Square final : Shape {
  explicit Square(long side) : side_(side), name_("a square whose name does not fit a small string") {}
  long area() const override { return side_ * side_ + static_cast<long>(name_.size()); }

 private:
  long side_;
  std::string name_;
};

struct alignas(64) Wide {
  long values[8] = {};
};

long descend(int levels, long number) {
  std::string guard(static_cast<size_t>(30 + levels), 'x'); // freed by the unwinder when the exception passes
  if (levels == 0)
    throw std::runtime_error("bottom of " + std::to_string(number) + guard);
  return descend(levels - 1, number) + static_cast<long>(guard.size());
}

long round_of_work(long number) {
  std::map<std::string, std::vector<std::shared_ptr<Shape>>> index;
  for (long i = 0; i < 20; i++)
    index["key number " + std::to_string((i * number) % 7)].push_back(std::make_shared<Square>(i));
  long sum = 0;
  for (const auto& [key, shapes] : index)
    for (const auto& shape : shapes)
      sum += shape->area() + static_cast<long>(key.size());
  try {
    sum += descend(12, number);
  } catch (const std::exception& error) {
    sum += static_cast<long>(std::string(error.what()).size());
  }
  const auto wide = std::make_unique<Wide>(); // the aligned operator new
  wide->values[number % 8] = sum;
  std::ostringstream text;
  text << sum << ' ' << wide->values[number % 8];
  return static_cast<long>(text.str().size()) + sum;
}

} // namespace

int main(int argc, char** argv) {
  const long rounds = argc > 1 ? std::stol(argv[1]) : 500;
  long sum = 0;
  for (long i = 1; i <= rounds; i++)
    sum += round_of_work(i);
  if (argc > 2) {
    std::vector<std::future<long>> results;
    for (long worker = 0; worker < 4; worker++)
      results.push_back(std::async(std::launch::async, [rounds] {
        long part = 0;
        for (long i = 1; i <= rounds; i++)
          part += round_of_work(i);
        return part;
      }));
    for (auto& result : results)
      sum += result.get();
  }
  std::cout << sum << '\n';
  return 0;
}
