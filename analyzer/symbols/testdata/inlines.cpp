// A small program rich in what makes symbolization hard: nested inlining through templates and lambdas, local
// and anonymous classes, functions split into hot and cold parts, constructors, exceptions, PLT calls.
// It is compiled with optimisation and debug information and looked at from outside; it is never run.
#include <algorithm>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <regex>
#include <sstream>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

struct Shape {
  virtual ~Shape() = default;
  virtual int area(int scale) = 0;
};

namespace {

struct Polygon : Shape {
  std::vector<int> points;
  int area(int scale) override {
    points.push_back(scale);
    struct Sorter {
      static int run(std::vector<int>& values) {
        std::sort(values.begin(), values.end(), [](int a, int b) { return a * 7 % 13 < b * 7 % 13; });
        return values.back();
      }
    };
    return Sorter::run(points);
  }
};

} // namespace

template <int Depth> struct Digits {
  static std::string of(int x) { return Digits<Depth - 1>::of(x) + std::to_string(x * Depth); }
};
template <> struct Digits<0> {
  static std::string of(int) { return ""; }
};

__attribute__((noinline)) static int parse(const std::string& text) {
  if (text.empty())
    throw std::runtime_error("nothing to parse in " + text);
  return std::stoi(text);
}

extern "C" __attribute__((noinline, visibility("default"))) int exported_entry(const char* text) {
  return parse(text) + 1;
}

int main(int argc, char** argv) {
  std::unique_ptr<Shape> shape = std::make_unique<Polygon>();
  std::map<std::string, std::function<int(int)>> steps;
  for (int i = 0; i < argc + 3; i++) {
    steps[Digits<8>::of(i)] = [&shape, i](int x) { return shape->area(x + i); };
  }
  int result = 0;
  for (auto& [name, step] : steps)
    result += step(static_cast<int>(name.size()));
  std::regex pattern("a(b|c)*d+");
  std::stringstream joined;
  for (int i = 0; i < argc; i++)
    joined << argv[i];
  result += std::regex_search(joined.str(), pattern);
  std::unordered_map<std::string, int> seen;
  seen[joined.str()] = result;
  for (auto& entry : seen)
    std::cout << entry.first << entry.second << "\n";
  try {
    result += exported_entry(argc > 1 ? argv[1] : "");
  } catch (const std::exception& error) {
    std::cout << error.what();
  }
  return result;
}
