"""Prints a C++ file that keeps `cc1plus -O1` busy for about six seconds and five million allocation events.

Two halves, because a compiler's two halves allocate differently: families of recursive templates and constant
evaluation keep the front end busy (few events, deep and numerous stacks), functions full of standard containers and
lambdas the optimizer (many events). Together about 0.9 million events per second, the rate of real C++ code bases.
Needs the standard library's headers; deterministic: same arguments, same bytes.

usage: make_heavy_cpp.py [FUNCTIONS [FAMILIES]] > heavy.cpp
"""
import sys

HEADER = """\
#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <numeric>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

template <int F, int N> struct Cell {
  using next = Cell<F, N - 1>;
  using type = std::tuple<Cell, typename next::type>;
  static constexpr int value = N * F + next::value;
};
template <int F> struct Cell<F, 0> {
  using type = std::tuple<>;
  static constexpr int value = F;
};
template <int F, typename... Ts> struct Join { using type = std::integer_sequence<int>; };
template <int A, int... B> auto push(std::integer_sequence<int, B...>) -> std::integer_sequence<int, A, B...>;
template <int F, typename T, typename... Ts> struct Join<F, T, Ts...> {
  using type = decltype(push<T::value % 97>(typename Join<F, Ts...>::type{}));
};
template <int F, typename I> struct Family;
template <int F, int... I> struct Family<F, std::integer_sequence<int, I...>> {
  using type = typename Join<F, Cell<F, I>...>::type;
};
constexpr int collatz(unsigned n) {
  int steps = 0;
  for (; n != 1; ++steps)
    n = n % 2 ? 3 * n + 1 : n / 2;
  return steps;
}
constexpr long sum_steps(int from, int to) {
  long sum = 0;
  for (int i = from; i < to; ++i)
    sum += collatz(static_cast<unsigned>(i));
  return sum;
}

template <int N> struct Number { static constexpr int value = N + Number<N - 1>::value; };
template <> struct Number<0> { static constexpr int value = 0; };

template <typename... Ts> struct Record {
  std::tuple<Ts...> fields;
  template <std::size_t... I> long sum(std::index_sequence<I...>) const {
    return (0L + ... + static_cast<long>(std::get<I>(fields)));
  }
  long sum() const { return sum(std::index_sequence_for<Ts...>{}); }
};

template <typename Key, int Tag> class Index {
public:
  void insert(Key key, int value) { entries_[key].push_back(value + Tag); }
  long total() const {
    long sum = 0;
    for (const auto& [key, values] : entries_)
      sum += std::accumulate(values.begin(), values.end(), 0L, [](long a, int b) { return a + b * Tag; });
    return sum;
  }

private:
  std::map<Key, std::vector<int>> entries_;
};
"""

TYPES = ["int", "long", "short", "char", "unsigned", "float", "double", "long long", "unsigned char", "unsigned long"]


def function(number):
    picked = [TYPES[(number * 7 + i * 3) % len(TYPES)] for i in range(3 + number % 4)]
    fields = ", ".join(picked)
    values = ", ".join("static_cast<%s>(seed + %d)" % (kind, i) for i, kind in enumerate(picked))
    return f"""
struct Key{number} {{
  int high, low;
  friend bool operator<(const Key{number}& a, const Key{number}& b) {{
    return std::tie(a.high, a.low) < std::tie(b.high, b.low);
  }}
}};
long work_{number}(int seed) {{
  Record<{fields}> record{{{{{values}}}}};
  Index<Key{number}, {number}> index;
  for (int i = 0; i < {3 + number % 17}; ++i)
    index.insert(Key{number}{{i, seed}}, i * {number % 31});
  std::variant<int, std::string, Key{number}> choice = Key{number}{{seed, 1}};
  auto visitor = [&](const auto& value) -> long {{
    if constexpr (requires {{ value.high; }}) return value.high * {number}L;
    else if constexpr (requires {{ value.size(); }}) return static_cast<long>(value.size());
    else return value;
  }};
  std::unordered_map<std::string, Record<{fields}>> cache;
  cache.emplace("k{number}", record);
  std::function<long(int)> step = [&](int x) {{ return record.sum() + x * {number}L + Number<{number % 60}>::value; }};
  std::vector<std::pair<Key{number}, int>> order;
  for (int i = 0; i < seed; ++i)
    order.emplace_back(Key{number}{{seed - i, i}}, i);
  std::sort(order.begin(), order.end(), [](const auto& a, const auto& b) {{ return a.first < b.first; }});
  return index.total() + std::visit(visitor, choice) + step(seed) + static_cast<long>(cache.size() + order.size());
}}
"""


def family(number):
    return f"""
using Family{number} = Family<{number}, std::make_integer_sequence<int, 150>>::type;
template <int N> int use{number}(Family{number}*) {{ return Cell<{number}, N>::value; }}
int call{number}() {{ return use{number}<149>(nullptr); }}
static_assert(sum_steps({number * 50 + 1}, {number * 50 + 40}) > 0);
"""


def main():
    functions = int(sys.argv[1]) if len(sys.argv) > 1 else 4
    families = int(sys.argv[2]) if len(sys.argv) > 2 else 72
    sys.stdout.write(HEADER)
    for number in range(functions):
        sys.stdout.write(function(number))
    for number in range(1, families + 1):
        sys.stdout.write(family(number))
    calls = " + ".join("work_%d(argc)" % number for number in range(functions))
    sys.stdout.write(f"int main(int argc, char**) {{ return static_cast<int>({calls}); }}\n")


main()
