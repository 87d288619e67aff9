// usage: subject [REQUESTS]
#include "catalog.h"

void* volatile sink;

namespace {

[[gnu::noinline]] int load_settings(int depth) {
  if (depth == 0)
    return 0;
  auto values = catalog::repeat(depth, [](int i) { return std::string(static_cast<size_t>(30 + i), 'x'); });
  keep(values.data());
  return static_cast<int>(values.size()) + load_settings(depth - 1);
}

} // namespace

int main(int argc, char** argv) {
  const int requests = argc > 1 ? std::atoi(argv[1]) : 200;
  const int settings = load_settings(6);
  store::fill(requests * 2 + settings % 1);
  session::serve(requests);
  session::finish();
  store::drop_all();
  return 0;
}
